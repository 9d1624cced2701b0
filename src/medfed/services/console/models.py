"""Models in the console: what finished runs gave, and their files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import func, select

from medfed.services.console.place import Place
from medfed.services.console.releases import refuse_withdrawn
from medfed.services.trouble import Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import ModelRow

DOWNLOADS: Mapping[str, str] = {
    "model.safetensors": "application/octet-stream",
    "facts.json": "application/json",
    "result.json": "application/json",
    "metrics.jsonl": "application/x-ndjson",
    "model_card.md": "text/markdown; charset=utf-8",
    "model_card.json": "application/json",
    "study.toml": "application/toml",
    "report.html": "text/html; charset=utf-8",
}
"""Files of a finished run that leave the console, and nothing else of its folder does."""
CARD = "model_card.md"
USED = ("model.safetensors", "facts.json")
"""What it takes to use a model; of one that is withdrawn nobody gets it."""


class Models:
    """The models of one console.

    Args:
        database: Where they are kept.
        place: Where their runs' folders are.
    """

    def __init__(self, database: Database, place: Place) -> None:
        self.database = database
        self.place = place

    def list(self, *, offset: int = 0, limit: int = 100) -> tuple[Sequence[ModelRow], int]:
        """Models, the latest first, and how many there are in all."""
        query = select(ModelRow).order_by(ModelRow.id.desc()).offset(offset).limit(limit)
        with self.database.read() as session:
            return session.scalars(query).all(), session.scalar(
                select(func.count(ModelRow.id))
            ) or 0

    def find(self, number: int) -> ModelRow:
        """One model.

        Raises:
            RunError: There is none of this number.
        """
        with self.database.read() as session:
            row = session.get(ModelRow, number)
        if row is None:
            raise Missing("there is no such model", remedy="Look at the list of models")
        return row

    def of_run(self, run: str) -> ModelRow | None:
        """The model of a run; None before it is finished."""
        with self.database.read() as session:
            return session.scalar(select(ModelRow).where(ModelRow.run_id == run))

    def file(self, run: str, name: str) -> Path:
        """A file of a finished run.

        Raises:
            RunError: It is none of `DOWNLOADS`, or not there, or the model is withdrawn.
        """
        path, model = self.place.run_folder(run) / name, self.of_run(run)
        if name not in DOWNLOADS or model is None or not path.is_file():
            raise Missing("there is no such file", remedy="Look at what the run offers")
        if name in USED:
            refuse_withdrawn(model)
        return path

    def card(self, row: ModelRow) -> str:
        """The model card, in Markdown; empty where its file is gone."""
        try:
            return self.file(row.run_id, "model_card.md").read_text("utf-8")
        except (Missing, OSError):
            return ""
