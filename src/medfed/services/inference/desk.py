"""All that has to do with inference at one hospital, put together."""

from dataclasses import dataclass
from pathlib import Path

from medfed.services.hospital.jobs import Jobs
from medfed.services.inference.admitted import AdmittedModels
from medfed.services.inference.inferences import Inferences
from medfed.services.inference.place import InferencePlace
from medfed.services.inference.reviews import Reviews
from medfed.storage.database import Database


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages of inference are made of.

    Attributes:
        place: Where models and results lie.
        models: The released models that the hospital uses.
        inferences: Models asked about scans and patients.
        reviews: What people said of their findings.
    """

    place: InferencePlace
    models: AdmittedModels
    inferences: Inferences
    reviews: Reviews

    @classmethod
    def open(cls, database: Database, console: Path, site: Path) -> "Desk":
        """Put it together.

        Args:
            database: The console's.
            console: The console's folder.
            site: The site's own folder.
        """
        place = InferencePlace(console, site)
        jobs = Jobs(database, console)
        models = AdmittedModels(database, place)
        inferences = Inferences(database, place, jobs, models)
        return cls(place, models, inferences, Reviews(database, inferences))
