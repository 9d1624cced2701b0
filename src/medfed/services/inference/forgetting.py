"""What models made of a scan goes with the scan."""

import shutil
from pathlib import Path

from sqlalchemy import select, update

from medfed.services.inference.place import inference_folder
from medfed.storage.database import Database
from medfed.storage.database.tables import InferenceRow


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
