"""Lung nodules on CT, voxel by voxel: a 3D U-Net that learns from patches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medfed.core.cores import cores
from medfed.core.data import SCANS, SetName, SiteData
from medfed.core.errors import PartError, Problem, Refused
from medfed.core.options import option
from medfed.core.query import Query
from medfed.core.task import Execution, Interval
from medfed.core.update import Facts, Stats, Tensors, add_stats
from medfed.tasks.segmentation_cases import Cases, Prepared, Scan, prepare
from medfed.tasks.segmentation_stats import (
    HIGHER_IS_BETTER,
    Overlap,
    figures,
    overlap,
    patient_stats,
    segmentation_metrics,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from medfed.frameworks.examples import Examples
    from medfed.tasks.augmentation import Augmentation
    from medfed.tasks.patches import PatchBatch, PatchExamples, Windows
    from medfed.tasks.segmentation_job import SegmentationJob
    from medfed.tasks.segmentation_predictor import SegmentationPredictor

_SETS: tuple[SetName, ...] = ("train", "valid", "test")
GROUPS = 4
TUNED_EDGE, TUNED_BATCH = 16, 8
"""Patches by which the quickest way to train is found: a fraction of a second a step. (PyTorch
takes another, slow path for a single patch in float32 on one thread.)"""


@dataclass(frozen=True)
class NoduleSegmentation:
    """Outline lung nodules on chest CTs.

    The model is made of MONAI's DynUNet: an encoder, a bottleneck and a decoder with skip
    connections, one level for each number of ``filters``, with group normalisation, so that there
    are no running statistics to average. It learns from patches by Dice and focal loss, and is
    scored on whole scans of held-out patients, window by window. Everything happens in the box
    around the lungs; truth outside of it counts as missed.

    Whole scans cost more than the training of a round, so rounds are scored on fixed windows of
    them instead, half of them on a nodule, as nnU-Net does (Isensee et al., Nature Methods 18,
    2021, "online evaluation"). Such figures compare rounds; they are no estimate of the final ones.
    """

    metric: ClassVar[str] = "dice"
    higher_is_better: ClassVar[Mapping[str, bool]] = HIGHER_IS_BETTER
    takes: ClassVar[str] = SCANS

    filters: tuple[int, ...] = option(
        (16, 32, 64, 128), help="Channels of each level, three levels or more; multiples of 4"
    )
    spacing_mm: float | None = option(
        None, help="Voxel spacing to resample to, mm; each scan's own if silent", above=0
    )
    window_hu: tuple[float, ...] = option(
        (-1000.0, 400.0), help="Hounsfield units that become 0 and 1"
    )
    patch: int = option(32, help="Edge of a training patch, voxels", low=8)
    patches: int = option(4, help="Patches of a scan in one pass over the patients", low=1)
    positive: float = option(
        0.33, help="Share of patches on a nodule, where the scan has one", low=0, high=1
    )
    augment: float = option(
        0.3, help="Share of patches turned, and of those blurred or given noise", low=0, high=1
    )
    mirror: bool = option(True, help="Mirror patches along each axis, half of the times")
    rotate: float = option(
        15.0, help="Largest turn of a patch about the body's axis, degrees", low=0, high=180
    )
    zoom: float = option(
        0.1, help="Largest part by which a patch is enlarged or reduced", low=0, high=0.5
    )
    shift_hu: float = option(30.0, help="Largest change of a patch's brightness, HU", low=0)
    contrast: float = option(
        0.03, help="Largest part by which a patch's distance to air changes", low=0, high=0.5
    )
    noise_hu: float = option(20.0, help="Largest standard deviation of added noise, HU", low=0)
    blur: float = option(
        0.15, help="Largest weight of a voxel's neighbours when blurred", low=0, high=0.33
    )
    focal: float = option(100.0, help="Weight of the focal loss beside the Dice loss", low=0)
    threshold: float = option(
        0.75,
        help="Probability from which a voxel is marked; patches hold more nodule than scans do",
        above=0,
        high=1,
    )
    round_windows: int = option(
        8,
        help="Windows of each held-out scan, of the size of a patch and always the same, that "
        "score a round; 0 for whole scans, as the final figures always use",
        low=0,
    )
    roi: int = option(96, help="Edge of the sliding window, voxels", low=16)
    overlap: float = option(0.25, help="Overlap of sliding windows", low=0, high=0.9)
    crop: bool = option(True, help="Look at the box around the lungs only")
    cache_mb: int = option(2048, help="Memory for prepared scans of a site, MB", low=1)
    device: str = option(
        "auto",
        help="What the sites compute on; auto for a GPU if the run begins on a machine with one",
        choices=("auto", "cpu", "cuda"),
    )
    precision: str = option(
        "auto",
        help="What the network computes in; auto for the quickest, bf16 only where the hardware "
        "has it",
        choices=("auto", "fp32", "bf16"),
    )

    def __post_init__(self) -> None:
        found = []
        step = self._step
        if len(self.filters) < 3 or any(f < GROUPS or f % GROUPS for f in self.filters):
            remedy = "Give three or more multiples of 4, such as [16, 32, 64]"
            found.append(Problem("task.filters", "do not make a three-level network", remedy))
        elif self.patch % step or self.roi % step:
            message = f"the edges of patches and windows must be multiples of {step}"
            found.append(
                Problem("task.patch", message, f"Give patch and roi as multiples of {step}")
            )
        if len(self.window_hu) != 2 or self.window_hu[0] >= self.window_hu[1]:
            remedy = "Give two numbers, the lower first, such as [-1000, 400]"
            found.append(Problem("task.window_hu", "is no window", remedy))
        if found:
            raise PartError("the task cannot be used as given", found)

    @property
    def _step(self) -> int:
        """What edges must be a multiple of: each level halves them."""
        return int(2 ** (len(self.filters) - 1))

    @property
    def _window(self) -> tuple[float, float]:
        low, high = self.window_hu
        return low, high

    def leaks(self) -> Sequence[Problem]:
        """Nothing: no facts are asked for; see `medfed.core.mechanism.PrivateTask`."""
        return ()

    def prepare(self) -> Sequence[Query]:
        """Nothing: the window of Hounsfield units is the same everywhere."""
        return ()

    def execution(self) -> Execution:
        """A GPU where there is one, else all cores; precision and layout as measured here once."""
        from medfed.frameworks.tuning import quickest, ways

        allowed = ways(self.device, self.precision, cores())
        edge = min(self.patch, TUNED_EDGE)
        return quickest(self.build, (TUNED_BATCH, 1, edge, edge, edge), allowed)

    def build(self) -> "nn.Module":
        """The untrained network."""
        from medfed.tasks.unet import UNet

        return UNet(self.filters)

    def initial(self, seed: int, facts: Facts) -> Tensors:
        """The untrained model; the same for the same seed."""
        from medfed.frameworks.torch_job import initial

        return initial(self.build, seed)

    def job(
        self, data: SiteData, facts: Facts, seed: int, execution: Execution
    ) -> "SegmentationJob":
        """Open a site's workplace.

        A site whose training patients have no nodule takes part: it teaches what none looks like.

        Raises:
            DataError: A volume cannot be read.
            Refused: No training patient.
        """
        from medfed.frameworks.torch_job import Learning, seeded_build
        from medfed.tasks.segmentation_job import SegmentationJob

        if not data.count("train"):
            remedy = "Give the split a larger training share, or leave the site out"
            message = f"site {data.site} has no training patient"
            raise Refused("no-data", message, remedy=remedy)
        learning: Learning[PatchBatch] = Learning(
            loss=self.loss(), evaluate=self._evaluate, watch=self._watch, full_batch=16
        )
        module = seeded_build(self.build, seed)
        sets = {name: self._examples(data, name) for name in _SETS}
        return SegmentationJob(
            data.site, module, sets, learning, seed, execution, self.predict, self.threshold
        )

    def _examples(self, data: SiteData, name: SetName) -> "PatchExamples":
        from medfed.tasks.patches import PatchExamples, Sampling

        how = self._augmentation()
        sampling = Sampling(self.patch, self.patches, self.positive, self._window, how)
        scans: Sequence[Scan] = data.load(name)
        return PatchExamples(self.cases(scans), data.count(name), sampling)

    def _augmentation(self) -> "Augmentation":
        from medfed.tasks.augmentation import Augmentation

        return Augmentation(
            share=self.augment,
            mirror=self.mirror,
            rotate=self.rotate,
            zoom=self.zoom,
            shift_hu=self.shift_hu,
            contrast=self.contrast,
            noise_hu=self.noise_hu,
            blur=self.blur,
        )

    def cases(self, scans: Sequence[Scan]) -> Cases:
        """Scans made ready for this task, when they are asked for."""
        return Cases(
            scans, lambda scan: prepare(scan, self.spacing_mm, crop=self.crop), self.cache_mb * 1e6
        )

    def loss(self) -> "Callable[[nn.Module, PatchBatch], torch.Tensor]":
        """Dice and focal loss, one value for each patch."""
        per_patch = dice_focal(self.focal)

        def loss(module: "nn.Module", batch: "PatchBatch") -> "torch.Tensor":
            images, truths = batch
            return per_patch(module(images).float(), truths)

        return loss

    def predict(self, module: "nn.Module", case: Prepared) -> NDArray[np.float32]:
        """Probabilities of one scan's box, by sliding window."""
        logits = self._logits(module, case)
        found: NDArray[np.float32] = logits.sigmoid()[0, 0].cpu().numpy()
        return found

    def _logits(self, module: "nn.Module", case: Prepared) -> "torch.Tensor":
        import torch
        from monai.inferers import sliding_window_inference

        from medfed.tasks.patches import scaled

        device = next(module.parameters()).device
        image = torch.from_numpy(scaled(case.hu.astype(np.float32), self._window))
        step = self._step
        roi = [min(self.roi, -(-n // step) * step) for n in case.hu.shape]
        found: torch.Tensor = sliding_window_inference(
            image[None, None].to(device), roi, 1, module, overlap=self.overlap, mode="gaussian"
        ).float()
        return found

    def _evaluate(self, module: "nn.Module", on: "Examples[PatchBatch]") -> Stats:
        from medfed.tasks.patches import PatchExamples

        assert isinstance(on, PatchExamples)  # noqa: S101  # this task serves nothing else
        stats = []
        for scans in on.cases.by_patient():
            first, *more = (self._overlap(module, case) for case in scans)
            stats.append(patient_stats(sum(more, first)))
        return add_stats(stats)

    def _watch(self, module: "nn.Module", on: "Examples[PatchBatch]") -> Stats:
        from medfed.tasks.patches import PatchExamples

        assert isinstance(on, PatchExamples)  # noqa: S101  # this task serves nothing else
        if not self.round_windows:
            return self._evaluate(module, on)
        patients = on.windows(self.round_windows)
        return add_stats(patient_stats(self._windowed(module, own)) for own in patients)

    def _windowed(self, module: "nn.Module", own: "Windows") -> Overlap:
        import torch

        from medfed.tasks.patches import scaled

        device = next(module.parameters()).device
        image = torch.from_numpy(scaled(own.hu.astype(np.float32), self._window))[:, None]
        truth = torch.from_numpy(own.truth.astype(np.float32))[:, None].to(device)
        logits = module(image.to(device)).float()
        loss = float(dice_focal(self.focal)(logits, truth).mean())
        marked = (logits.sigmoid() >= self.threshold)[:, 0].cpu().numpy()
        return overlap(_apart(own.truth), _apart(marked), loss)

    def _overlap(self, module: "nn.Module", case: Prepared) -> Overlap:
        import torch

        logits = self._logits(module, case)
        truth = torch.from_numpy(case.truth).to(logits.device)[None, None].float()
        loss = float(dice_focal(self.focal)(logits, truth).sum())
        marked = (logits.sigmoid() >= self.threshold)[0, 0].cpu().numpy()
        return overlap(case.truth, marked, loss, case.missed)

    def summarise(self, total: Stats, *, intervals: bool = False) -> dict[str, Interval]:
        """Dice, sensitivity, false positives and loss; see `segmentation_stats`."""
        return segmentation_metrics(total, intervals=intervals)

    def figures(self, totals: Stats) -> dict[str, NDArray[Any]]:
        """The metrics of many totals at once, for redrawing patients."""
        return figures(totals)

    def importance(self, total: Stats) -> dict[str, Interval]:
        """Nothing: voxels are no inputs to be shuffled."""
        return {}

    def predictor(
        self, model: Tensors, facts: Facts, execution: Execution | None = None
    ) -> "SegmentationPredictor":
        """A trained model, ready for scans; see `medfed.imaging.prediction.PredictingTask`."""
        from medfed.tasks.segmentation_predictor import SegmentationPredictor

        return SegmentationPredictor(self, model, execution)

    def calibration(self, total: Stats) -> dict[str, Any] | None:
        """How often findings of a score were nodules, from summed `LocalJob.explain` statistics.

        Returns:
            See `medfed.tasks.calibration.curve`; None where no site had validation patients.
        """
        from medfed.tasks.calibration import curve

        return curve(total) if total else None

    def describe(self, facts: Facts) -> dict[str, Any]:
        """Words for the model card."""
        module = self.build()
        spacing_note = (
            f"resampled to {self.spacing_mm:g} mm" if self.spacing_mm else "at its own spacing"
        )
        low, high = self._window
        return {
            "model": f"3D U-Net (MONAI DynUNet), {len(self.filters)} levels, "
            f"{' → '.join(map(str, self.filters))} channels, group normalisation",
            "inputs": f"chest CT {spacing_note}, {low:g} to {high:g} HU as 0 to 1, the box around "
            "the lungs"
            if self.crop
            else f"chest CT {spacing_note}, {low:g} to {high:g} HU as 0 to 1",
            "outputs": f"probability of nodule for each voxel; marked from {self.threshold:g}",
            "rounds scored on": f"{self.round_windows} fixed windows of each scan"
            if self.round_windows
            else "whole scans",
            "parameters": sum(p.numel() for p in module.parameters()),
            "training": {
                "patch": self.patch,
                "patches on a nodule": self.positive,
                "loss": f"Dice + {self.focal:g} × focal",
                "augmentation": self._augmentation().describe(),
            },
        }


def _apart(windows: NDArray[Any]) -> NDArray[Any]:
    """Windows one above the other with a gap between them, so that no piece spans two."""
    return np.pad(windows, ((0, 0), (0, 1), (0, 0), (0, 0))).reshape(-1, *windows.shape[2:])


def dice_focal(weight: float) -> "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]":
    """Dice loss plus weighted focal loss of logits, one value for each patch."""
    from monai.losses import DiceLoss, FocalLoss

    # Without smoothing a patch without a nodule has a Dice loss of 1 whatever is marked, and no
    # slope: the focal loss alone teaches from it. Smoothed, such patches reward marking nothing
    # anywhere, and training ends there.
    dice = DiceLoss(sigmoid=True, reduction="none", smooth_nr=0.0, smooth_dr=1e-5)
    focal = FocalLoss(reduction="none", gamma=2.0)

    def loss(logits: "torch.Tensor", truths: "torch.Tensor") -> "torch.Tensor":
        overlap_part: torch.Tensor = dice(logits, truths).flatten(1).mean(1)
        voxel_part: torch.Tensor = focal(logits, truths).flatten(1).mean(1)
        return overlap_part + weight * voxel_part

    return loss
