"""Names of files that a browser sends: believed within limits only."""

import re
from pathlib import PurePosixPath

from medfed.services.trouble import Refused

ENDINGS = (".mhd", ".mha", ".raw", ".zraw", ".nii", ".nii.gz", ".zip", ".dcm", ".ima", ".csv")
NUMBERED = re.compile(r"[\w-]*(\.\d+)*", re.ASCII)
"""A DICOM file without an ending, such as ``IM0001`` or ``1.2.840.113619.2.5``."""
MANIFEST = "manifest.json"
"""Beside phantoms: it says that they are synthetic."""
LONGEST, LONGEST_PART, DEEPEST = 500, 200, 8


def checked(name: str) -> str:
    """A relative path with ``/`` that leads nowhere but into its own folder.

    Raises:
        Refused: It would lead out, cannot be a file's name, or is of no kind that is taken.
    """
    parts = name.split("/")
    if len(name) > LONGEST or len(parts) > DEEPEST or not all(map(_plain, parts)):
        message = "a file has a name that cannot be taken"
        raise Refused(message, remedy="Give it a short name without special characters")
    last = parts[-1]
    if last != MANIFEST and not last.lower().endswith(ENDINGS) and not NUMBERED.fullmatch(last):
        remedy = "Send DICOM (also in a zip), .mhd with .raw, .mha, .nii, .nii.gz and .csv"
        raise Refused("a file is of no kind that can be taken", remedy=remedy)
    return str(PurePosixPath(*parts))


def _plain(part: str) -> bool:
    fits = 0 < len(part.encode("utf-8", "replace")) <= LONGEST_PART
    odd = part.startswith(".") or "\\" in part or part != part.strip() or not part.isprintable()
    return fits and not odd
