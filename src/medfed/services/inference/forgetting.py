"""What models made of a scan goes with the scan."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from medfed.services.inference.place import inference_folder
from medfed.services.trouble import Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import InferenceRow

if TYPE_CHECKING:
    from medfed.services.inference.inferences import Inferences


def forget_scan(database: Database, console: Path, scan: str) -> None:
    """Remove all pictures and files of a scan that was deleted; what was said of it stays.

    Args:
        database: The console's.
        console: The console's folder.
        scan: The scan's name in the catalogue.
    """
    with database.write() as session:
        ids = session.scalars(select(InferenceRow.id).where(InferenceRow.scan == scan)).all()
        session.execute(update(InferenceRow).where(InferenceRow.id.in_(ids)).values(exported={}))
    for each in ids:
        shutil.rmtree(inference_folder(console, each), ignore_errors=True)


def refuse_deleted(inferences: "Inferences", row: InferenceRow) -> None:
    """Complain about a scan that was deleted while work on it went on; nothing of it stays.

    To be asked when the files lie there: a deletion that comes later removes them itself.

    Raises:
        Missing: It was deleted.
    """
    try:
        inferences.scan(row.scan)
    except Missing:
        shutil.rmtree(inferences.place.folder(row.id), ignore_errors=True)
        raise
