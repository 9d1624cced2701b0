"""What a site keeps warm for one study: its parts, its data and its job."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.aggregator import Aggregator, Compression, Seated
from medfed.core.data import MODELS, SetName, SiteData, selected
from medfed.core.errors import Refused
from medfed.core.ledger import Ledger
from medfed.core.registry import make
from medfed.core.strategy import Strategy
from medfed.core.study import Study
from medfed.core.task import LocalJob, Task
from medfed.core.update import Stats, Tensors, Update
from medfed.federation.privacy import SitePrivacy
from medfed.federation.site_folder import SiteFolder
from medfed.federation.site_settings import SiteSettings


@dataclass(frozen=True)
class Trained:
    """What training for an order gave: its conversation may begin again, under fresh keys.

    Attributes:
        asked: What decides the answer, of whatever phase.
        update: What is to be summed.
        memory: What the site remembers of it.
    """

    asked: tuple[Any, ...]
    update: Update
    memory: Tensors


@dataclass
class Desk:
    """What a site keeps warm for one study.

    Attributes:
        seated: The aggregator, where its half needs a seat.
        terms: The facts and the execution that the job was opened with.
        watch: How the job scores a round.
        trained: What the last order gave; kept in memory only, and only where there is a seat.
    """

    study: Study
    task: Task
    strategy: Strategy
    aggregator: Aggregator
    compression: Compression | None
    data: SiteData
    privacy: SitePrivacy
    seated: Seated | None = None
    job: LocalJob | None = None
    terms: tuple[Any, Any] | None = None
    watch: Callable[[Tensors, SetName], Stats] | None = None
    trained: Trained | None = None

    @classmethod
    def open(
        cls, study: Study, folder: SiteFolder, settings: SiteSettings, ledger: Ledger | None
    ) -> "Desk":
        """Read the site's data as a study asks for it.

        Raises:
            DataError: They cannot be read.
            Refused: They are too few.
        """
        source = make("source", study.source).open(settings.data, settings.name, study.sites)
        split = make("split", study.split)
        cohort = selected(source, study.cohort.where)
        data = SiteData.split(settings.name, cohort, split, study.seed, _models(folder, settings))
        needed = max(settings.min_patients, study.cohort.min_patients)
        if data.count("train") < needed:
            message = f"this site has fewer than {needed} training patients"
            raise Refused("too-few-patients", message)
        aggregator: Aggregator = make("aggregator", study.aggregator)
        return cls(
            study,
            make("task", study.task),
            make("strategy", study.strategy),
            aggregator,
            make("compression", study.compression) if study.compression else None,
            data,
            SitePrivacy(study, data, ledger, settings.privacy_repeats),
            aggregator if isinstance(aggregator, Seated) else None,
        )


def _models(folder: SiteFolder, settings: SiteSettings) -> list[Path]:
    """Where whoever runs this site puts the models that studies may build on."""
    beside = [settings.data / MODELS] if settings.data else []
    return [folder.path / MODELS, *beside]
