"""All that has to do with inference at one hospital, put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medfed.services.hospital.jobs import Jobs
from medfed.services.inference.admitted import AdmittedModels
from medfed.services.inference.inferences import Inferences
from medfed.services.inference.place import InferencePlace
from medfed.services.inference.recall import Recall
from medfed.services.inference.reviews import Reviews
from medfed.storage.database import Database
from medfed.storage.database.tables import ModelRow


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages of inference are made of.

    Attributes:
        place: Where models and results lie.
        models: The released models that the hospital uses.
        inferences: Models asked about scans and patients.
        reviews: What people said of their findings.
        recall: Whether the coordinator withdrew models.
    """

    place: InferencePlace
    models: AdmittedModels
    inferences: Inferences
    reviews: Reviews
    recall: Recall

    @classmethod
    def open(
        cls,
        database: Database,
        console: Path,
        site: Path,
        local: Callable[[str], ModelRow] | None = None,
    ) -> "Desk":
        """Put it together.

        Args:
            database: The console's.
            console: The console's folder.
            site: The site's own folder.
            local: Knows models by digest, where the console is the coordinator's too.
        """
        place = InferencePlace(console, site)
        jobs = Jobs(database, console)
        models = AdmittedModels(database, place)
        inferences = Inferences(database, place, jobs, models)
        reviews, recall = Reviews(database, inferences), Recall(database, site, local)
        return cls(place, models, inferences, reviews, recall)
