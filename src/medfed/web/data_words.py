"""What the pages of a hospital's data call things, in the reader's language."""

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.services.imports.report import sentence_of
from medfed.web.said import said, sentence

TROUBLES = {
    "bad-csv": (_l("A table cannot be taken."), ""),
    "no-patient": (
        _l("The files do not say whose they are."),
        _l("Send them again, one patient at a time, and say whose they are."),
    ),
    "several-patients": (
        _l("One series holds slices of several patients."),
        _l("Export the series of each patient again."),
    ),
    "differs-from-catalogue": (
        _l("The catalogue holds this scan already, with other content."),
        _l("The one in the catalogue is kept. Find out which of the two is right."),
    ),
    "burned-in-text": (
        _l("The scanner says that text is burned into the picture."),
        _l("Look at it. It can be imported in spite of this, and stays marked."),
    ),
    "secondary-capture": (
        _l("The picture is a screen capture or was scanned in: names are often burned into it."),
        _l("Look at it. It can be imported in spite of this, and stays marked."),
    ),
    "recognisable-face": (
        _l("The scanner says that the patient’s face can be recognised."),
        _l("Look at it. It can be imported in spite of this, and stays marked."),
    ),
    "bad-table": (
        _l("A table of findings has other columns than LUNA16’s, or words for numbers."),
        _l("Its columns are seriesuid, coordX, coordY, coordZ, diameter_mm."),
    ),
    "mask-without-scan": (
        _l("A mask lies beside no scan."),
        _l("Put it beside its CT, named like it."),
    ),
    "missing-file": (_l("A file is missing."), _l("Send the scan again, whole.")),
    "empty-file": (_l("A file is empty."), _l("Export it again.")),
    "unreadable-file": (_l("A file cannot be read."), _l("Export it again.")),
    "not-a-scan": (
        _l("This is no form of scan that medfed reads."),
        _l("Send DICOM, also in a zip, .mhd with .raw, .mha, .nii or .nii.gz."),
    ),
    "several-volumes": (_l("The zip holds several volumes."), _l("Send them one by one.")),
    "bad-header": (
        _l("The header is damaged or contradicts itself."),
        _l("Export the series again."),
    ),
    "unsupported-form": (
        _l("The file is correct, and of a kind that medfed does not read."),
        _l("Export it as an uncompressed DICOM series or as .nii.gz."),
    ),
    "too-large": (
        _l("The header declares more voxels than any CT has."),
        _l("Check that this is one scan."),
    ),
    "decompression-bomb": (
        _l("The packed data unpack to far more than a scan holds."),
        _l("Do not open this file; ask where it came from."),
    ),
    "cut-off": (_l("The voxels are cut off."), _l("Export the series again.")),
    "too-long": (
        _l("The voxels are longer than the header says."),
        _l("Export the series again."),
    ),
    "outside-folder": (
        _l("The scan points to a file outside its folder."),
        _l("Put the files of the scan side by side; such a file is not opened."),
    ),
    "bad-zip": (_l("The zip file is damaged."), _l("Pack it again.")),
    "encrypted-zip": (_l("The zip file is encrypted."), _l("Pack it again without a password.")),
    "unsafe-zip": (
        _l("The zip file holds names that lead out of its folder."),
        _l("Do not unpack it; ask where it came from."),
    ),
    "no-pixels": (_l("There are no pixels."), _l("Export the series again.")),
    "unsupported-compression": (
        _l("The pixels are compressed in a way that medfed does not read."),
        _l("Export the series uncompressed."),
    ),
    "no-usable-series": (
        _l("No DICOM series can be used as a CT volume."),
        _l("Export the series again."),
    ),
    "single-slice": (
        _l("The series has one slice."),
        _l("Send the folder or zip that holds all of them."),
    ),
    "missing-slices": (_l("Slices are missing."), _l("Export the whole series again.")),
    "duplicate-slices": (
        _l("Several slices lie at the same place."),
        _l("Export one phase, or one reconstruction, of the series."),
    ),
    "uneven-spacing": (
        _l("The slices are not evenly spaced."),
        _l("Export a reconstruction with an even spacing."),
    ),
    "mixed-series": (
        _l("The series mixes slices of different size, direction or pixel spacing."),
        _l("Export its parts as series of their own."),
    ),
    "tilted-gantry": (
        _l("The gantry was tilted: the slices are stacked aslant."),
        _l("Export a reconstruction without tilt; such a series is refused."),
    ),
    "no-spacing": (
        _l("The scan does not say its voxel spacing."),
        _l("Export the series again."),
    ),
    "bad-spacing": (_l("The voxel spacing is not positive."), _l("Export the series again.")),
    "no-orientation": (
        _l("The scan does not say where in the patient it lies."),
        _l("Export the series again."),
    ),
    "sheared": (
        _l("The axes of the scan are not perpendicular."),
        _l("Resample it to an upright grid, or export the DICOM series."),
    ),
    "not-hounsfield": (
        _l("The values are no Hounsfield units."),
        _l("Hounsfield units fit into 16 bits: check that this is a CT."),
    ),
    "off-grid": (
        _l("The mask does not lie on the grid of its CT."),
        _l("Resample the mask to the CT, or pair it with the CT it was drawn on."),
    ),
}
"""Public names of what imports refuse. Those that are missing are said in English."""

WINDOWS = {
    "lung": _l("Lung"),
    "soft-tissue": _l("Soft tissue"),
    "bone": _l("Bone"),
    "wide": _l("Wide"),
}
PLANES = {
    "axial": _l("Axial"),
    "coronal": _l("Coronal"),
    "sagittal": _l("Sagittal"),
}
DOUBTS = {
    "burned-in-text": _l("text in the picture"),
    "secondary-capture": _l("a screen capture"),
    "recognisable-face": _l("a face"),
}
LEFT_OUT = {
    "not-ct": _l("series that are no CT"),
    "localizer": _l("localizers"),
    "not-dicom": _l("files that are no DICOM"),
}


SENTENCES = {
    "a file has a name that cannot be taken": _l("A file has a name that cannot be taken."),
    "Give it a short name without special characters": _l(
        "Give it a short name without special characters."
    ),
    "a file is of no kind that can be taken": _l("A file is of no kind that can be taken."),
    "Send DICOM (also in a zip), .mhd with .raw, .mha, .nii, .nii.gz and .csv": _l(
        "Send DICOM (also in a zip), .mhd with .raw, .mha, .nii, .nii.gz and .csv."
    ),
    "there is a file of this name already": _l("There is a file of this name already."),
    "Send each file once": _l("Send each file once."),
    "a file is too large": _l("A file is too large."),
    "Send files of up to 32 GiB": _l("Send files of up to 32 GiB."),
    "there are too many files": _l("There are too many files."),
    "Pack them into a zip": _l("Pack them into a zip."),
    "the disk has no room for this file": _l("The disk has no room for this file."),
    "the disk is full": _l("The disk is full."),
    "Tell whoever runs the console": _l("Tell whoever runs the console."),
    "this job has begun already": _l("This job has begun already."),
    "Load the page again": _l("Load the page again."),
    "Wait until it has ended": _l("Wait until it has ended."),
    "Begin another": _l("Begin another."),
    "no file was sent": _l("No file was sent."),
    "Choose files first": _l("Choose files first."),
    "a file is not whole yet": _l("A file is not whole yet."),
    "Send the rest first": _l("Send the rest first."),
    "a volume lies in no folder that could name its patient": _l(
        "A volume lies in no folder that could name its patient."
    ),
    "Say that files are called like their patients, or whose they are": _l(
        "Say that files are called like their patients, or whose they are."
    ),
    "there is nothing to import again": _l("There is nothing to import again."),
    "Send the files again": _l("Send the files again."),
    "the scan cannot be read any more": _l("The scan cannot be read any more."),
    "the process for it ended unexpectedly 3 times": _l(
        "The process for it ended unexpectedly three times."
    ),
    "Look whether memory and disk suffice, then try again": _l(
        "Look whether memory and disk suffice, then try again."
    ),
    "something went wrong that nobody foresaw": _l("Something went wrong that nobody foresaw."),
    "It is in logs/jobs.log": _l("It is in the console’s logs/jobs.log."),
    "Delete it, and import it again": _l("Delete it, and import it again."),
}
"""Sentences of services that pages show, by their English."""


def trouble(one: dict[str, str]) -> tuple[str, str]:
    """What was refused and what to do, in the reader's language."""
    known = TROUBLES.get(one["name"])
    if known:
        return str(known[0]), str(known[1]) or sentence(said(one["remedy"]))
    return sentence(said(sentence_of(one["name"]))), sentence(said(one["remedy"]))


def found(one: dict[str, str]) -> str:
    """What is wrong where, as the reader of the file says it; empty where it says no more."""
    more = one["message"] != sentence_of(one["name"])
    return sentence(said(one["message"])) if more else ""


def plane(name: str) -> str:
    """A plane's name."""
    return str(PLANES[name])


def doubt(name: str) -> str:
    """Why a picture may show who it is."""
    return str(DOUBTS.get(name, name))


def left_out(name: str) -> str:
    """What is no CT scan, and nobody's mistake."""
    return str(LEFT_OUT.get(name, name))


def script() -> dict[str, str]:
    """What the page that sends files says."""
    return {
        "waiting": _("waiting"),
        "sent": _("sent"),
        "again": _("connection lost, trying again"),
        "refused": _("refused: %(why)s", why="{}"),
        "sum": _("%(done)s of %(all)s", done="{}", all="{}"),
        "left": _("%(seconds)s s left", seconds="{}"),
        "wrongKind": _("is of no kind that can be taken, and is left out"),
        "tooLarge": _("is too large, and is left out"),
        "noRaw": _("its .raw file is missing: choose both"),
        "failed": _("The files could not be sent. Press Send again; what was sent is kept."),
        "leave": _("Files are still being sent."),
    }
