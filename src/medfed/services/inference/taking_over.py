"""A model of this very console taken over by its hospital, where one console is both."""

from medfed.services.accounts import Identity, Subject, require
from medfed.services.console.models import Models
from medfed.services.inference.desk import Desk
from medfed.services.trouble import Conflict
from medfed.storage.database.tables import AdmittedRow


def take_over(models: Models, desk: Desk, site: str, by: Identity, number: int) -> AdmittedRow:
    """Approve a released model for the hospital, with its card; checked as one that is brought in.

    Args:
        models: Of the coordinator.
        desk: Of the hospital.
        site: The hospital's name.
        by: Who approves it there.
        number: The model's, at the coordinator.

    Raises:
        AccessError: ``by`` may not.
        Missing: There is no such model, or its file is gone.
        Conflict: It was not approved for this hospital, was withdrawn, or its file was changed.
        DataError: It cannot be used here.
    """
    require(desk.models.database, by, "model.admit", Subject(f"model {number}"))
    row = models.find(number)
    if site not in {release.site for release in row.releases}:
        message = f"the coordinator has not approved this model for {site}"
        raise Conflict(message, remedy="Have it approved for this hospital first")
    file = models.file(row.run_id, "model.safetensors")
    return desk.models.admit(by, file, sha256=row.sha256)
