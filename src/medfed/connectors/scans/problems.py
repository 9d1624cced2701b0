"""What can be wrong with a scan, under public names.

A name is public: it stands in logs, in the catalogue and in messages that may leave the hospital,
so no sentence here holds a patient, a file or an identifier.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfed.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Kind:
    """One kind of problem.

    Attributes:
        sentence: what is wrong, without a full stop.
        remedy: what to do about it.
        fatal: whether the scan, or the file, is unusable.
    """

    sentence: str
    remedy: str = "Export the series again."
    fatal: bool = True


PROBLEMS = {
    # any form
    "missing-file": Kind("a file is missing", "Copy the scan again, whole."),
    "empty-file": Kind("a file is empty", "Copy it again."),
    "unreadable-file": Kind("a file cannot be read", "Check its rights and copy it again."),
    "not-a-scan": Kind(
        "this is no form of scan that medfed reads",
        "Give a DICOM folder, file or zip, a .mhd or .mha, or a .nii or .nii.gz.",
    ),
    "several-volumes": Kind("the folder holds several volumes", "Give the file of one of them."),
    "bad-header": Kind("the header is damaged or contradicts itself"),
    "unsupported-form": Kind(
        "the file is correct, and of a kind that medfed does not read",
        "Export it as an uncompressed DICOM series or as .nii.gz.",
    ),
    "too-large": Kind(
        "the header declares more voxels than any CT has",
        "Check that this is one scan; medfed reads up to 2^30 voxels.",
    ),
    "decompression-bomb": Kind(
        "the packed data unpack to far more than a scan holds",
        "Do not open this file; ask where it came from.",
    ),
    "cut-off": Kind("the voxels are cut off", "Copy or export the series again."),
    "too-long": Kind(
        "the voxels are longer than the header says", "Copy or export the series again."
    ),
    "outside-folder": Kind(
        "the scan points to a file outside its folder",
        "Put the files of the scan side by side; such a file is not opened.",
    ),
    "no-spacing": Kind("the scan does not say its voxel spacing"),
    "bad-spacing": Kind("the voxel spacing is not positive"),
    "no-orientation": Kind("the scan does not say where in the patient it lies"),
    "sheared": Kind(
        "the axes of the scan are not perpendicular",
        "Resample it to an upright grid, or export the DICOM series.",
    ),
    "not-hounsfield": Kind(
        "the values are no Hounsfield units",
        "Hounsfield units fit into 16 bits: check that this is a CT.",
    ),
    "off-grid": Kind(
        "the mask does not lie on the grid of its CT",
        "Resample the mask to the CT, or pair it with the CT it was drawn on.",
    ),
    # zip
    "bad-zip": Kind("the zip file is damaged", "Pack it again."),
    "encrypted-zip": Kind("the zip file is encrypted", "Unpack it and give the folder."),
    "unsafe-zip": Kind(
        "the zip file holds names that lead out of its folder",
        "Do not unpack it; ask where it came from.",
    ),
    # one DICOM file
    "not-dicom": Kind("a file is no DICOM", "Leave it out.", fatal=False),
    "no-uid": Kind("a DICOM file lacks the identifiers of its series or of itself"),
    "no-pixels": Kind("there are no pixels"),
    "unsupported-compression": Kind(
        "the pixels are compressed in a way that medfed does not read",
        "Export the series uncompressed.",
    ),
    "bad-pixels": Kind("the compressed pixels are damaged"),
    "colour": Kind("the pixels are coloured; a CT is grey", "Choose the original CT series."),
    "no-position": Kind("slices do not say where in the patient they lie"),
    "no-rescale": Kind("slices do not say how their values become Hounsfield units"),
    # one DICOM series
    "no-series": Kind("there is no such DICOM series", "List what is there, and choose another."),
    "no-usable-series": Kind("no DICOM series can be used as a CT volume"),
    "not-ct": Kind("the series is no CT", "Choose a CT series."),
    "localizer": Kind("the series is a localizer (scout)", "Choose the series of the slices."),
    "single-slice": Kind("the series has one slice", "Give the folder that holds all of them."),
    "missing-slices": Kind("slices are missing", "Copy or export the whole series again."),
    "duplicate-slices": Kind(
        "several slices lie at the same place",
        "Export one phase, or one reconstruction, of the series.",
    ),
    "uneven-spacing": Kind(
        "the slices are not evenly spaced", "Export a reconstruction with an even spacing."
    ),
    "mixed-series": Kind(
        "the series mixes slices of different size, direction or pixel spacing",
        "Export its parts as series of their own.",
    ),
    "tilted-gantry": Kind(
        "the gantry was tilted: the slices are stacked aslant",
        "Export a reconstruction without tilt; medfed refuses such a series and corrects nothing.",
    ),
    "repeated-files": Kind(
        "the same slice was found in several files, which are equal", "Nothing to do.", fatal=False
    ),
}
"""Public names of problems. One line of `docs/reference/scan-forms.md` each."""


@dataclass(frozen=True)
class ScanProblem:
    """One thing wrong with a file or a series.

    Attributes:
        name: public name, one of ``PROBLEMS``.
        message: a sentence without a full stop; it names no patient.
        remedy: what to do about it.
        fatal: whether the file or series is unusable.
        files: names of the files concerned, inside the folder or zip. They may hold a patient's
            name: for the hospital's own screens only.
    """

    name: str
    message: str
    remedy: str
    fatal: bool = True
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"


class ScanError(DataError):
    """A scan that cannot be used, under a public name.

    Args:
        name: one of ``PROBLEMS``.
        message: a sentence without a full stop; that of the name where left out.
        remedy: that of the name where left out.
        files: which of the scan's files is to blame, where that is known; for the hospital's own
            screens only, see `ScanProblem`.
    """

    def __init__(
        self, name: str, message: str = "", *, remedy: str = "", files: tuple[str, ...] = ()
    ) -> None:
        kind = PROBLEMS[name]
        super().__init__(message or kind.sentence, remedy=remedy or kind.remedy)
        self.name = name
        self.files = files


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Whatever is wrong with a file of a scan is known to be wrong with this one."""
    try:
        yield
    except ScanError as error:
        error.files = error.files or (file,)
        raise


def problem(name: str, message: str = "", files: tuple[str, ...] = ()) -> ScanProblem:
    """A problem with the sentence and remedy of its name, or with a sentence of its own."""
    kind = PROBLEMS[name]
    return ScanProblem(name, message or kind.sentence, kind.remedy, kind.fatal, files)


def as_error(found: ScanProblem) -> ScanError:
    """The same complaint, to be raised."""
    return ScanError(found.name, found.message, remedy=found.remedy, files=found.files)
