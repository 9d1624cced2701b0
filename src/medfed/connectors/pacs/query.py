"""What is asked of a PACS and what it answers, whichever way it is spoken to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from medfed.connectors.pacs.problems import PacsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

DATES = re.compile(r"\d{8}|\d{8}-(\d{8})?|-\d{8}")
UID = re.compile(r"[0-9]+(\.[0-9]+)+")
LONGEST_UID = 64
MOST_STUDIES = 200


@dataclass(frozen=True)
class Query:
    """Which series.

    Attributes:
        patient: Patient ID.
        accession: Accession Number.
        study: Study Instance UID.
        series: Series Instance UID.
        dates: of the study, ``YYYYMMDD``, ``YYYYMMDD-YYYYMMDD``, or open at one end.
        modality: such as ``CT``; empty for all.
        description: of the study; ``*`` stands for anything.
    """

    patient: str = ""
    accession: str = ""
    study: str = ""
    series: str = ""
    dates: str = ""
    modality: str = "CT"
    description: str = ""

    def __post_init__(self) -> None:
        for what, uid in (("study", self.study), ("series", self.series)):
            if uid and not (UID.fullmatch(uid) and len(uid) <= LONGEST_UID):
                raise PacsError("address", f"the {what} {uid!r} is no UID")
        if self.dates and not DATES.fullmatch(self.dates):
            remedy = "Write 20260131, 20260101-20260131, or 20260101- for all since"
            raise PacsError("address", f"{self.dates!r} are no dates", remedy=remedy)

    def of_study(self) -> dict[str, str]:
        """The filters of the study level, by keyword."""
        filters = {
            "PatientID": self.patient,
            "AccessionNumber": self.accession,
            "StudyInstanceUID": self.study,
            "StudyDate": self.dates,
            "StudyDescription": self.description,
        }
        return {keyword: value for keyword, value in filters.items() if value}

    def of_series(self) -> dict[str, str]:
        """The filters of the series level, by keyword."""
        filters = {"SeriesInstanceUID": self.series, "Modality": self.modality}
        return {keyword: value for keyword, value in filters.items() if value}


@dataclass(frozen=True)
class PacsSeries:
    """One series of a PACS. Who it is of is not asked, and so not shown.

    Attributes:
        study: Study Instance UID.
        series: Series Instance UID.
        date: of the study.
        modality: such as ``CT``.
        description: of the series.
        objects: how many; None where the PACS does not count.
    """

    study: str
    series: str
    date: str
    modality: str
    description: str
    objects: int | None

    @classmethod
    def of(cls, study: Any, series: Any) -> PacsSeries:
        """From the two answers, as data sets."""
        count = str(series.get("NumberOfSeriesRelatedInstances", "") or "")
        return cls(
            study=str(study.get("StudyInstanceUID", "")),
            series=str(series.get("SeriesInstanceUID", "")),
            date=str(study.get("StudyDate", "") or ""),
            modality=str(series.get("Modality", "") or ""),
            description=str(series.get("SeriesDescription", "") or ""),
            objects=int(count) if count.isdigit() else None,
        )


class Pacs(Protocol):
    """A PACS that can be asked."""

    def check(self) -> str:
        """Try whether it answers; a sentence about how.

        Raises:
            PacsError: it does not.
        """
        ...

    def find(self, query: Query) -> list[PacsSeries]:
        """The series that match, by date.

        Raises:
            PacsError: it cannot be asked, or too much matches.
        """
        ...

    def fetch(
        self, series: PacsSeries, folder: Path, progress: Callable[[int], None] | None = None
    ) -> int:
        """Retrieve the objects of a series into a folder.

        Args:
            series: as found.
            folder: an existing one; files are called ``000001.dcm`` and so on.
            progress: called with the number of objects so far.

        Returns:
            How many came.

        Raises:
            PacsError: ``incomplete`` where some are missing; what came stays in the folder.
        """
        ...

    def send(self, files: Sequence[Path], progress: Callable[[int], None] | None = None) -> int:
        """Store DICOM files; how many were taken.

        Raises:
            PacsError: one was not; those before are stored.
        """
        ...


def sorted_series(found: Sequence[PacsSeries]) -> list[PacsSeries]:
    """By date, then study, then series."""
    return sorted(found, key=lambda one: (one.date, one.study, one.series))


def too_many(count: int) -> PacsError:
    """More studies match than anybody meant."""
    message = f"{count} studies match, more than {MOST_STUDIES}"
    return PacsError("failed", message, remedy="Ask for a patient, a study or fewer days")


def missing(got: int, expected: int) -> PacsError:
    """Some objects did not come."""
    message = f"only {got} of {expected} objects of the series came"
    return PacsError("incomplete", message, remedy="Try again; what comes twice is recognised")
