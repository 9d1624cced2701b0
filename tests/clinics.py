"""A hospital with a scan, two released models, and what they said; for tests of inference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from accounting import identity
from consoles import Stage, copy_of, hospital_of
from unit.connectors.dicom_files import write_series
from unit.inference.threshold import balls, oblique, run_folder

from medfed.core.registry import Part
from medfed.imaging.geometry import Geometry
from medfed.services.accounts import Identity
from medfed.services.hospital.work import work
from medfed.services.imports import import_scans
from medfed.services.inference.desk import Desk
from medfed.storage.models import write_model
from medfed.web import WebOptions

GRID = Geometry((16, 56, 60), (2.5, 0.9, 0.8), (10.0, -20.0, 30.0), oblique())
CENTRES = [GRID.to_world(at) for at in ((6.0, 14.0, 14.0), (7.0, 40.0, 20.0), (8.0, 26.0, 46.0))]
HOSPITAL = "hospital"
AIR = -250.0
CARD = "# Card\n\nFor research. <script>alert(1)</script>\n"
FACTS = {
    "moments": {
        "age": {"mean": 60.0, "std": 10.0, "fill": 60.0, "count": 9.0, "missing": 0.0},
        "size": {"mean": 8.0, "std": 4.0, "fill": 8.0, "count": 9.0, "missing": 0.0},
    },
    "vocabulary": {"smoker": {"categories": ["0", "1"], "fill": "0", "missing": 0.0}},
}
TASK = Part(
    "tabular-classification",
    {
        "target": "cancer",
        "numeric": ["age", "size"],
        "categorical": ["smoker"],
        "units": {"age": "years"},
    },
)
ANSWERS = {"age": 80.0, "size": 4.0, "smoker": "1"}
GUIDELINE = {"title": "A guideline", "url": "https://guidelines.example/nodules"}


@dataclass(frozen=True)
class Clinic:
    """A hospital's console, and what is in it."""

    stage: Stage
    scan: str
    nodules: int
    risk: int

    @property
    def desk(self) -> Desk:
        found = self.stage.console.desk
        assert found is not None
        return found

    def who(self, name: str = "clinician") -> Identity:
        """Somebody who has just logged in."""
        return identity(self.stage.console.accounts, name)

    def do(self, inference: str) -> str:
        """Do what is asked for, in this process; how it ended."""
        desk, console = self.desk, self.stage.console
        job = desk.inferences.find(inference).job
        with console.database.write() as session:
            from medfed.storage.database.tables import JobRow

            session.get_one(JobRow, job).state = "running"
        work(desk.place.console, desk.place.site, job, console.database)
        done = desk.inferences.job(desk.inferences.find(inference))
        assert done is not None
        return done.state

    def looked(self) -> str:
        """An inference on the scan, done."""
        row = self.desk.inferences.look(self.who(), self.nodules, self.scan)
        assert self.do(row.id) == "finished", self.desk.inferences.job(row)
        return row.id

    def assessed(self) -> str:
        """A risk, computed from a form."""
        row = self.desk.inferences.assess(self.who(), self.risk, ANSWERS)
        assert self.do(row.id) == "finished", self.desk.inferences.job(row)
        return row.id

    def signed(self) -> str:
        """One with a finding accepted, one corrected, one rejected; signed and made ready."""
        inference, reviews = self.looked(), self.desk.reviews
        who = replace(self.who(), full_name="李 明")
        reviews.judge(who, inference, 1, "accepted", comment="plain to see")
        changes = {"diameter_mm": 12.5}
        reviews.judge(who, inference, 2, "corrected", changes=changes, comment="<b>更大</b>")
        reviews.judge(who, inference, 3, "rejected", comment="a vessel")
        reviews.sign(who, inference)
        assert self.do(inference) == "finished"
        return inference


def risk_folder(folder: Path) -> Path:
    """A finished run of a logistic regression."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"study": "cd" * 32, "title": "A risk", "task": TASK.to_json(), "facts": FACTS}
    weights = np.array([[0.5, 1.0, -0.25, 0.75]], np.float32)
    tensors = {"head.weight": weights, "head.bias": np.array([-1.0], np.float32)}
    write_model(folder / "model.safetensors", tensors, {**about, "round": 2})
    (folder / "model_card.md").write_text(CARD)
    return folder


def clinic_of(
    folder: Path, url: str = "", options: WebOptions | None = None, encrypt_with: str | None = None
) -> Clinic:
    """A hospital whose clinician may begin."""
    stage = hospital_of(folder / HOSPITAL, url, options, encrypt_with)
    desk = stage.console.desk
    assert desk is not None
    volume = balls(GRID, CENTRES, radius_mm=5.0)
    series = write_series(folder / "ct", volume.hu, GRID, intercept=-2000.0)
    (scan,) = import_scans(desk.place.site, series).imported
    steward = identity(stage.console.accounts, "data-steward")
    nodules = desk.models.admit(steward, run_folder(folder / "nodules", threshold_hu=AIR))
    risk = desk.models.admit(steward, risk_folder(folder / "risk"), guideline=GUIDELINE)
    return Clinic(stage, scan, nodules.id, risk.id)


def clinic_copy(made: Clinic, folder: Path, options: WebOptions | None = None) -> Clinic:
    """The same in a folder to which that of `clinic_of` was copied."""
    return replace(made, stage=copy_of(made.stage, folder / HOSPITAL, options=options))
