"""Lung nodules on CT, place by place: a classifier tells candidates from what looks like them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medfed.core.cores import cores
from medfed.core.data import SCANS, SetName, SiteData
from medfed.core.errors import PartError, Problem, Refused
from medfed.core.options import option
from medfed.core.query import Query
from medfed.core.task import Execution, Interval, LocalJob
from medfed.core.update import Facts, Stats, Tensors, add_stats
from medfed.imaging.froc import MOST_MARKS
from medfed.tasks.detection_stats import (
    HIGHER_IS_BETTER,
    detection_metrics,
    figures,
    patient_draws,
    patient_stats,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from medfed.frameworks.examples import Examples
    from medfed.imaging.prediction import ScanPredictor, SecondLook
    from medfed.tasks.detection_cases import Looked, Scan
    from medfed.tasks.detection_examples import CandidateExamples, CubeBatch, CubeSampling

GROUPS = 4
AT_ONCE = 256
"""Candidates that are scored together; bounds the memory."""


@dataclass(frozen=True)
class NoduleDetection:
    """Find lung nodules on chest CTs, and leave alone what looks like one.

    A released segmentation model marks candidates: the connected pieces of what it takes for
    nodule, of those close together the most probable. Every site opens that model from its own
    disk, by the digest in the study. What is learned is a small 3D network that looks at a cube
    around each candidate: is it a nodule, or a vessel, a scar, a lymph node?

    The figures are LUNA16's: the free-response ROC curve, and as its score the CPM. The classifier
    can only find what the released model marked; ``reach`` says how much that is. Nodules are those
    that the source's annotations name; where it has none, the connected pieces of its masks.

    The released model should not have been trained on this study's test patients: give both studies
    the same sites, split and seed.
    """

    metric: ClassVar[str] = "cpm"
    higher_is_better: ClassVar[Mapping[str, bool]] = HIGHER_IS_BETTER
    takes: ClassVar[str] = SCANS

    model: str = option(
        help="SHA-256 of the released segmentation model (a run's model_sha256); each site must "
        "have its file in a folder models"
    )
    threshold: float = option(
        0.5, help="Probability from which a voxel belongs to a candidate", above=0, high=1
    )
    smallest_mm3: float = option(0.0, help="Smaller candidates are left out, mm³", low=0)
    distance_mm: float = option(
        5.0, help="Of candidates closer together than this the most probable stays, mm", low=0
    )
    most: int = option(
        MOST_MARKS, help="Candidates of a scan that are looked at, the most probable first", low=1
    )
    cube: int = option(16, help="Edge of the cube that the network sees, voxels", low=8)
    step_mm: float = option(2.0, help="Distance of the cube's voxels, mm", above=0)
    filters: tuple[int, ...] = option(
        (16, 32, 64), help="Channels of each level; multiples of 4; each but the first halves"
    )
    window_hu: tuple[float, ...] = option(
        (-1000.0, 400.0), help="Hounsfield units that become 0 and 1"
    )
    per_scan: int = option(16, help="Candidates that a scan gives in one pass", low=1)
    positive: float = option(
        0.5, help="Share of them that are nodules, where a scan has both kinds", low=0, high=1
    )
    margin: int = option(1, help="Voxels by which a cube is moved about in training", low=0)
    shift_hu: float = option(30.0, help="Largest change of a cube's brightness, HU", low=0)
    dropout: float = option(0.0, help="Share of channels left out in training", low=0, high=0.9)

    def __post_init__(self) -> None:
        found = []
        if not re.fullmatch(r"[0-9a-f]{64}", self.model):
            remedy = "Give the 64 hexadecimal digits that result.json calls model_sha256"
            found.append(Problem("task.model", "is no SHA-256", remedy))
        if not self.filters or any(f < GROUPS or f % GROUPS for f in self.filters):
            remedy = "Give multiples of 4, such as [16, 32, 64]"
            found.append(Problem("task.filters", "do not make a network", remedy))
        elif self.cube % self._step:
            remedy = f"Give a multiple of {self._step}"
            found.append(Problem("task.cube", "cannot be halved at each level", remedy))
        if len(self.window_hu) != 2 or self.window_hu[0] >= self.window_hu[1]:
            remedy = "Give two numbers, the lower first, such as [-1000, 400]"
            found.append(Problem("task.window_hu", "is no window", remedy))
        if found:
            raise PartError("the task cannot be used as given", found)

    @property
    def _step(self) -> int:
        return int(2 ** (len(self.filters) - 1))

    def prepare(self) -> Sequence[Query]:
        """Nothing: the window of Hounsfield units is the same everywhere."""
        return ()

    def execution(self) -> Execution:
        """A GPU where there is one; else all cores. The network is too small for bfloat16."""
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Execution(threads=cores(), precision="fp32", device=device)

    def build(self) -> "nn.Module":
        """The untrained network: MONAI's residual classifier, with group normalisation."""
        from monai.networks.nets import Classifier

        net: nn.Module = Classifier(
            in_shape=(1, self.cube, self.cube, self.cube),
            classes=1,
            channels=self.filters,
            strides=[1] + [2] * (len(self.filters) - 1),
            num_res_units=2,
            act="relu",
            norm=("group", {"num_groups": GROUPS, "affine": True}),
            dropout=self.dropout or None,
        )
        return net

    def initial(self, seed: int, facts: Facts) -> Tensors:
        """The untrained model; the same for the same seed."""
        from medfed.frameworks.torch_job import initial

        return initial(self.build, seed)

    def job(self, data: SiteData, facts: Facts, seed: int, execution: Execution) -> LocalJob:
        """Open a site's workplace; the released model looks at each scan once.

        Raises:
            DataError: A scan cannot be read.
            Refused: The site has not released the model, or has nothing to train on.
        """
        from medfed.frameworks.torch_job import Learning, TorchJob, seeded_build
        from medfed.tasks.detection_released import open_released

        if not data.count("train"):
            remedy = "Give the split a larger training share, or leave the site out"
            message = f"site {data.site} has no training patient"
            raise Refused("no-data", message, remedy=remedy)
        released = open_released(self.model, data.models, data.site)
        sets = _Sets(self, data, released.predictor(execution))
        if not sets["train"].teaches:
            message = f"the released model marks nothing in the training scans of site {data.site}"
            remedy = "Lower threshold in [task], or leave the site out"
            raise Refused("no-data", message, remedy=remedy)
        learning: Learning[CubeBatch] = Learning(
            loss=_loss,
            evaluate=lambda module, on: self._evaluate(module, on, (seed, data.site)),
            watch=lambda module, on: self._evaluate(module, on, None),
            full_batch=AT_ONCE,
        )
        module = seeded_build(self.build, seed)
        return TorchJob(data.site, module, sets, learning, seed, execution)

    def examples(self, scans: "Sequence[Scan]", predictor: "ScanPredictor") -> "CandidateExamples":
        """The candidates that a model marks in some scans, by patient."""
        from medfed.tasks.detection_cases import Marking, look
        from medfed.tasks.detection_examples import CandidateExamples

        how = Marking(
            threshold=self.threshold,
            smallest_mm3=self.smallest_mm3,
            distance_mm=self.distance_mm,
            most=self.most,
            edge=self.cube + 2 * self.margin,
            step_mm=self.step_mm,
        )
        patients: dict[str, list[Looked]] = {}
        for scan in scans:
            patients.setdefault(scan.patient, []).append(look(scan, predictor, how))
        return CandidateExamples(list(patients.values()), self._sampling())

    def second_look(
        self, model: Tensors, folders: Sequence[Path], execution: Execution | None = None
    ) -> "SecondLook":
        """A trained classifier and the released model; see `imaging.prediction.JudgingTask`."""
        from medfed.tasks.detection_predictor import second_look

        return second_look(self, model, folders, execution)

    def _sampling(self) -> "CubeSampling":
        from medfed.tasks.detection_examples import CubeSampling

        low, high = self.window_hu
        return CubeSampling(
            edge=self.cube,
            margin=self.margin,
            per_scan=self.per_scan,
            positive=self.positive,
            window=(low, high),
            shift_hu=self.shift_hu,
        )

    def _evaluate(
        self, module: "nn.Module", on: "Examples[CubeBatch]", draws: tuple[int, str] | None
    ) -> Stats:
        from medfed.tasks.detection_examples import CandidateExamples

        assert isinstance(on, CandidateExamples)  # noqa: S101  # this task serves nothing else
        stats = []
        for number, scans in enumerate(on.patients):
            logits = [scores(module, on, scan) for scan in scans]
            pairs = list(zip(scans, logits, strict=True))
            drawn = patient_draws(*draws, number) if draws and not on.alone else None
            stats.append(
                patient_stats(
                    [scan.scored(own, self.most) for scan, own in pairs],
                    loss=sum(_losses(scan, own) for scan, own in pairs),
                    candidates=sum(len(own) for own in logits),
                    drawn=drawn,
                )
            )
        return add_stats(stats)

    def summarise(self, total: Stats, *, intervals: bool = False) -> dict[str, Interval]:
        """CPM, sensitivities, reach and loss; see `detection_stats`."""
        return detection_metrics(total, intervals=intervals)

    def figures(self, totals: Stats) -> dict[str, NDArray[Any]]:
        """The metrics of many totals at once, for redrawing patients."""
        return figures(totals)

    def importance(self, total: Stats) -> dict[str, Interval]:
        """Nothing: voxels are no inputs to be shuffled."""
        return {}

    def describe(self, facts: Facts) -> dict[str, Any]:
        """Words for the model card."""
        low, high = self.window_hu
        return {
            "model": f"3D residual classifier (MONAI Classifier), {len(self.filters)} levels, "
            f"{' → '.join(map(str, self.filters))} channels, group normalisation",
            "inputs": f"cubes of {self.cube}³ voxels of {self.step_mm:g} mm around each candidate, "
            f"{low:g} to {high:g} HU as 0 to 1",
            "outputs": "a score for each candidate; higher is more likely a nodule; no probability",
            "candidates": f"marked from {self.threshold:g} by the released model {self.model}, "
            f"at least {self.distance_mm:g} mm apart, at most {self.most} a scan",
            "parameters": sum(p.numel() for p in self.build().parameters()),
            "training": {
                "nodules among candidates": self.positive,
                "loss": "binary cross-entropy",
                "augmentation": f"mirroring, moving by {self.margin} voxels, brightness within "
                f"{self.shift_hu:g} HU",
                "dropout": self.dropout,
            },
        }


class _Sets(Mapping[SetName, "CandidateExamples"]):
    """A site's sets; the released model looks at a set when it is first asked for."""

    def __init__(self, task: NoduleDetection, data: SiteData, predictor: "ScanPredictor") -> None:
        self.task = task
        self.data = data
        self.predictor = predictor
        self._found: dict[SetName, CandidateExamples] = {}

    def __getitem__(self, name: SetName) -> "CandidateExamples":
        if name not in self._found:
            scans: Sequence[Scan] = self.data.load(name)
            self._found[name] = self.task.examples(scans, self.predictor)
        return self._found[name]

    def __iter__(self) -> Iterator[SetName]:
        return iter(("train", "valid", "test"))

    def __len__(self) -> int:
        return 3


def scores(module: "nn.Module", on: "CandidateExamples", scan: "Looked") -> NDArray[np.float32]:
    """The logit of each of a scan's candidates."""
    import torch

    device = next(module.parameters()).device
    images = torch.from_numpy(on.seen(scan)[:, None]).to(device)
    parts = [module(part)[:, 0].float().cpu() for part in images.split(AT_ONCE) if len(part)]
    return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)


def _loss(module: "nn.Module", batch: "CubeBatch") -> "torch.Tensor":
    from torch.nn import functional

    images, labels = batch
    logits = module(images)[:, 0].float()
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def _losses(scan: "Looked", logits: NDArray[np.float32]) -> float:
    """The sum of the loss over a scan's candidates."""
    wide = logits.astype(np.float64)
    return float((np.logaddexp(0.0, wide) - scan.on_nodule * wide).sum())
