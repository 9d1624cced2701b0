"""What a site offers to a study: a source, the patients in it, and their split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medfed.core.errors import DataError

SetName = Literal["train", "valid", "test"]
Indices = NDArray[np.int64]


class Source(Protocol):
    """Where one site's data come from, opened; the patient is the unit."""

    def patients(self) -> Sequence[str]:
        """Identifiers of the patients, local to the site, in a fixed order."""

    def strata(self) -> Sequence[Any] | None:
        """One label per patient to stratify splits by, or None."""

    def load(self, patients: Sequence[str]) -> Any:
        """The records of some patients: a DataFrame for tables, a sequence of cases for images."""


@runtime_checkable
class Noticed(Protocol):
    """What a source may say besides, for whoever reads figures of its patients."""

    notice: str
    """Such as that the patients are synthetic; empty for nothing."""


TABLE, SCANS, PATCHES = "a table", "scans", "patches"
"""What sources may give and tasks learn from: a class says so as ``gives``, or as ``takes``. A part
that says nothing is believed to go with every other."""


class SourceOpener(Protocol):
    """A source part: its options say how to read, the site says where."""

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> Source:
        """Open one site's data.

        Args:
            root: The site's data folder; None where the study brings its own data.
            site: The site's name.
            sites: All the study's sites, for sources that partition a shipped data set.

        Raises:
            DataError: The data are missing or not what they claim to be.
        """


class Split(Protocol):
    """How a site's patients fall into train, valid and test."""

    def assign(
        self, patients: Sequence[str], strata: Sequence[Any] | None, seed: int
    ) -> Mapping[SetName, Indices]:
        """Indices into ``patients`` for each set; sets are disjoint and cover all patients."""


def selected(source: Source, where: Sequence[str]) -> Source:
    """The patients of a source who belong to the cohort.

    Args:
        source: Where the data come from; one that knows columns has a method ``select``.
        where: Conditions such as ``age >= 40``; see `medfed.core.conditions`.

    Raises:
        DataError: The source cannot select.
    """
    if not where:
        return source
    select = getattr(source, "select", None)
    if select is None:
        raise DataError("this source knows no columns", remedy="Remove where from [cohort]")
    chosen: Source = select(where)
    return chosen


MODELS = "models"
"""The folder, beside a site's data or in the site's own folder, of models released there."""


@dataclass(frozen=True)
class SiteData:
    """One site's data for one study, split by patient.

    Attributes:
        site: The site's name.
        source: Where its data come from.
        sets: Its patients by set.
        models: Folders in which the site keeps models that studies may build on.
    """

    site: str
    source: Source
    sets: Mapping[SetName, tuple[str, ...]]
    models: tuple[Path, ...] = ()

    @classmethod
    def split(
        cls, site: str, source: Source, split: Split, seed: int, models: Sequence[Path] = ()
    ) -> "SiteData":
        """Split a source's patients."""
        patients = list(source.patients())
        indices = split.assign(patients, source.strata(), seed)
        sets = {name: tuple(patients[i] for i in rows) for name, rows in indices.items()}
        return cls(site, source, sets, tuple(models))

    def count(self, name: SetName) -> int:
        """Patients in one set."""
        return len(self.sets.get(name, ()))

    def load(self, name: SetName) -> Any:
        """The records of one set; see `Source.load`."""
        return self.source.load(self.sets.get(name, ()))
