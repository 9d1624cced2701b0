"""What an import did, in words and figures that name nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from medfed.connectors.scans.problems import PROBLEMS

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.connectors.scans.problems import ScanError, ScanProblem

NAMES = {
    "no-patient": (
        "the files do not say whose they are",
        "Say it with --patient, one patient at a time.",
    ),
    "several-patients": (
        "one series holds slices of several patients",
        "Export the series of each patient again.",
    ),
    "differs-from-catalogue": (
        "the catalogue holds this scan already, with other content",
        "The one in the catalogue is kept. Find out which of the two is right.",
    ),
    "burned-in-text": (
        "the scanner says that text is burned into the picture",
        "Look at it; with --accept-doubts it is imported and stays marked.",
    ),
    "secondary-capture": (
        "the picture is a screen capture or was scanned in: names are often burned into it",
        "Look at it; with --accept-doubts it is imported and stays marked.",
    ),
    "recognisable-face": (
        "the scanner says that the patient's face can be recognised",
        "Look at it; with --accept-doubts it is imported and stays marked.",
    ),
    "bad-table": (
        "a table of findings has other columns than LUNA16's, or words for numbers",
        "Its columns are seriesuid, coordX, coordY, coordZ, diameter_mm.",
    ),
    "mask-without-scan": ("a mask lies beside no scan", "Put it beside its CT, named like it."),
}
"""Public names beyond those of `medfed.connectors.scans.PROBLEMS`: message and remedy."""

TABLE = "bad-csv"
"""The name of a table that was not taken."""


def sentence_of(name: str) -> str:
    """What a public name means: unlike what a reader said of a file, it names none."""
    known = {one: kind.sentence for one, kind in PROBLEMS.items()}
    known |= {one: said[0] for one, said in NAMES.items()}
    return known.get(name, "a table cannot be taken" if name == TABLE else "a file is refused")


LEFT_OUT = frozenset({"not-ct", "localizer", "not-dicom"})
"""What is nobody's mistake: it is no CT scan, and no import was asked for it."""


@dataclass(frozen=True)
class Trouble:
    """One series or file that was not imported.

    Attributes:
        name: its public name.
        message: a sentence without a full stop; it may name a file, as ``where`` does.
        remedy: what to do about it.
        where: the original files, which may be called like a patient: for the hospital's own
            record, never for the screen.
    """

    name: str
    message: str
    remedy: str
    where: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def named(cls, name: str, where: tuple[str, ...]) -> Trouble:
        """One of `NAMES`."""
        return cls(name, *NAMES[name], where)

    @classmethod
    def of(cls, found: ScanProblem | ScanError, where: tuple[str, ...]) -> Trouble:
        """What the readers complain about."""
        return cls(found.name, found.message, found.remedy, where)

    @property
    def left_out(self) -> bool:
        """Whether it is no trouble, only no CT scan."""
        return self.name in LEFT_OUT


@dataclass
class ImportReport:
    """What one import did.

    Attributes:
        site: the site's name.
        folder: where its scans lie.
        imported: names of new scans.
        completed: names of scans that were in the catalogue with fewer objects.
        unchanged: names of scans that were there already, object for object.
        doubtful: names of scans imported in spite of doubts.
        troubles: what was not imported.
        texts_emptied: free texts emptied because they held the patient's name or number.
        notes: what a person should know, in sentences.
        record: the hospital's own record of this import, with file names; None where all went well.
    """

    site: str
    folder: Path
    imported: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    texts_emptied: int = 0
    notes: list[str] = field(default_factory=list)
    record: Path | None = None

    @property
    def refused(self) -> list[Trouble]:
        """What should have been a scan and was not imported."""
        return [one for one in self.troubles if not one.left_out]

    @property
    def left_out(self) -> Counter[str]:
        """What is no CT scan, counted by name."""
        return Counter(one.name for one in self.troubles if one.left_out)

    @property
    def useful(self) -> bool:
        """Whether anything that was given is in the catalogue now."""
        return bool(self.imported or self.completed or self.unchanged)

    def plus(self, other: ImportReport) -> ImportReport:
        """Both imports as one, into the same site."""
        whole = ImportReport(self.site, self.folder, record=other.record or self.record)
        for name in ("imported", "completed", "unchanged", "doubtful", "troubles"):
            setattr(whole, name, [*getattr(self, name), *getattr(other, name)])
        whole.texts_emptied = self.texts_emptied + other.texts_emptied
        whole.notes = list(dict.fromkeys([*self.notes, *other.notes]))
        return whole

    def to_json(self) -> dict[str, Any]:
        """For `--json`: without the names of files."""
        return {
            "schema": 1,
            "site": self.site,
            "folder": str(self.folder),
            "imported": self.imported,
            "completed": self.completed,
            "unchanged": self.unchanged,
            "doubtful": self.doubtful,
            "refused": [
                {"name": one.name, "message": one.message, "remedy": one.remedy}
                for one in self.refused
            ],
            "left_out": dict(self.left_out),
            "texts_emptied": self.texts_emptied,
            "notes": self.notes,
            "record": str(self.record) if self.record else None,
        }

    def full(self) -> dict[str, Any]:
        """For the hospital's own record: with the names of files."""
        return {**self.to_json(), "refused": [asdict(one) for one in self.refused]}
