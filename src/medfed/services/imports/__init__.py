"""Import of scans into a site: read, de-identify, put in place, catalogue."""

from medfed.services.imports.archive import import_from_pacs
from medfed.services.imports.importing import ImportOptions, import_scans
from medfed.services.imports.place import list_scans
from medfed.services.imports.removal import remove_scan
from medfed.services.imports.report import ImportReport, Trouble

__all__ = [
    "ImportOptions",
    "ImportReport",
    "Trouble",
    "import_from_pacs",
    "import_scans",
    "list_scans",
    "remove_scan",
]
