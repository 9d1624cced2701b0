"""The job of asking a model about a scan."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfed.services.hospital.work import Work
from medfed.services.inference.desk import Desk
from medfed.services.inference.forgetting import refuse_deleted
from medfed.services.inference.keeping import kept_privately
from medfed.storage.database.tables import FindingRow, InferenceRow

if TYPE_CHECKING:
    from medfed.connectors.scans import ReadScan
    from medfed.inference import Prediction


def look(work: Work) -> dict[str, Any]:
    """Find nodules in a scan, and enter the findings; all of it or nothing."""
    from medfed.services.prediction.predict import PredictOptions, predict

    desk = Desk.open(work.jobs.database, work.console, work.site)
    row = desk.inferences.find(work.job.options["inference"])
    model = desk.models.usable(row.model_id, "scan")
    desk.place.folder(row.id).mkdir(mode=0o700, parents=True, exist_ok=True)
    with kept_privately(desk.place, desk.place.found(row.id)) as out:
        options = PredictOptions(
            model=desk.models.file(model),
            scan=desk.inferences.scan(row.scan)[1],
            out=out,
            guideline=model.guideline or None,
        )
        done = predict(options, work.tell, partial(_for_the_viewer, work))
    refuse_deleted(desk.inferences, row)
    with work.jobs.database.write() as session:
        kept = session.get_one(InferenceRow, row.id)
        kept.result = done.findings
        for finding in done.findings["findings"]:
            session.merge(FindingRow(inference_id=row.id, number=finding["number"], body=finding))
    return {"findings": len(done.findings["findings"])}


def _for_the_viewer(work: Work, folder: Path, scan: "ReadScan", found: "Prediction") -> None:
    from medfed.services.inference.viewer import write_view

    work.tell(0, None)
    write_view(folder, scan.volume, found.labels)
