"""The job of asking a model about a patient, by a form."""

from typing import Any

from medfed.services.hospital.work import Work
from medfed.services.inference.desk import Desk
from medfed.storage.database.tables import InferenceRow


def assess(work: Work) -> dict[str, Any]:
    """Compute one patient's risk, and explain it."""
    from medfed.inference.risk import RiskModel
    from medfed.services.prediction.model_file import open_model

    desk = Desk.open(work.jobs.database, work.console, work.site)
    row = desk.inferences.find(work.job.options["inference"])
    admitted = desk.models.usable(row.model_id, "table")
    opened = open_model(desk.models.file(admitted))
    model = RiskModel(opened.tensors, opened.about, opened.sha256)
    result = {
        "risk": model(row.given).to_json(),
        "model": model.model.to_json(),
        "notices": list(model.model.said),
    }
    with work.jobs.database.write() as session:
        session.get_one(InferenceRow, row.id).result = result
    return {}
