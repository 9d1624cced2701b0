"""Sites of one study seen otherwise: one of several alone, or all of them as one.

``medfed compare`` makes studies of these parts: what could a hospital do alone, and what could one
hospital do that had everybody's patients? They are useful on one machine only, where all data lie.
"""

import itertools
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medfed.core.data import Indices, SetName, SiteData, Source, SourceOpener, selected
from medfed.core.errors import DataError
from medfed.core.options import option
from medfed.core.registry import Part, make, part_from_json

_SETS: tuple[SetName, ...] = ("train", "valid", "test")


def as_text(part: Part) -> str:
    """A part as the text that the options below take."""
    return json.dumps(part.to_json(), sort_keys=True)


@dataclass(frozen=True)
class Member:
    """One site of a larger study, with the very patients that it has there.

    A source that deals out a shipped data set among the sites of a study would deal it out anew
    if a study named fewer of them.
    """

    source: str = option(help="The larger study's source, as JSON")
    among: tuple[str, ...] = option(help="All sites of the larger study")

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> Source:
        """Open the site as the larger study would."""
        return _opener(self.source).open(root, site, self.among)


@dataclass(frozen=True)
class Pooled:
    """All sites of a study as one; every patient keeps the set of the own site.

    It needs the split ``pooled``, which reads the sets from the patients' identifiers here.
    """

    source: str = option(help="The study's source, as JSON")
    split: str = option(help="The study's split, as JSON")
    among: tuple[str, ...] = option(help="All sites of the study")
    where: tuple[str, ...] = option((), help="The conditions of its cohort")
    seed: int = option(0, help="The seed its split is given", low=0)

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> "Gathered":
        """Open every site and split it as the study does."""
        opener, split = _opener(self.source), make("split", part_from_json(json.loads(self.split)))
        found = {}
        for name in self.among:
            source = selected(opener.open(root, name, self.among), self.where)
            found[name] = SiteData.split(name, source, split, self.seed)
        return Gathered(found)


@dataclass(frozen=True)
class PooledSplit:
    """The sets that patients of the source ``pooled`` have at their own sites."""

    valid: float = option(0.0, help="The share that the study's split holds out", low=0, high=1)

    def assign(
        self, patients: Sequence[str], strata: Sequence[Any] | None, seed: int
    ) -> Mapping[SetName, Indices]:
        """Read each patient's set; see `medfed.core.data.Split`.

        Raises:
            DataError: These are not patients of the source ``pooled``.
        """
        found = np.array([patient.partition(":")[0] for patient in patients])
        if not np.isin(found, _SETS).all():
            message = "the split pooled does not know the sets of these patients"
            raise DataError(message, remedy="Use it with the source pooled only")
        return {name: np.flatnonzero(found == name) for name in _SETS}


@dataclass(frozen=True)
class Gathered:
    """The records of several sites; identifiers are ``SET:SITE:PATIENT``."""

    sites: Mapping[str, SiteData]

    def patients(self) -> Sequence[str]:
        """All patients, site by site."""
        return [
            f"{set_}:{site}:{patient}"
            for site, data in self.sites.items()
            for set_ in _SETS
            for patient in data.sets.get(set_, ())
        ]

    def strata(self) -> Sequence[Any] | None:
        """None: the patients are split already."""
        return None

    def load(self, patients: Sequence[str]) -> Any:
        """The records of some patients, in the order asked for."""
        parted = [patient.split(":", 2)[1:] for patient in patients]
        pieces = []
        for site, group in itertools.groupby(parted, key=lambda pair: pair[0]):
            records = self.sites[site].source.load([patient for _, patient in group])
            pieces.append(_named(records, site))
        return _joined(pieces)


class Chain(Sequence[Any]):
    """Sequences one behind the other; cases are loaded when they are asked for, as before."""

    def __init__(self, pieces: Iterable[Sequence[Any]]) -> None:
        self.pieces = list(pieces)
        self.ends = list(itertools.accumulate(map(len, self.pieces)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(place)
        piece = next(i for i, end in enumerate(self.ends) if at < end)
        return self.pieces[piece][at - self.ends[piece] + len(self.pieces[piece])]


def _opener(text: str) -> SourceOpener:
    opener: SourceOpener = make("source", part_from_json(json.loads(text)))
    return opener


def _named(records: Any, site: str) -> Any:
    """The same identifier at two sites is two patients."""
    if isinstance(records, pd.DataFrame):
        return records.set_axis([f"{site}:{patient}" for patient in records.index], axis=0)
    return records


def _joined(pieces: Sequence[Any]) -> Any:
    if any(isinstance(piece, pd.DataFrame) for piece in pieces):
        with warnings.catch_warnings():  # a column that is empty at one site has no type there
            warnings.simplefilter("ignore", FutureWarning)
            return pd.concat(pieces)
    return Chain(pieces)
