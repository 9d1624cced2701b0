"""Tumours on small CT pictures, pixel by pixel: a 2D U-Net."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medfed.core.cores import cores
from medfed.core.data import PATCHES, SetName, SiteData
from medfed.core.errors import DataError, PartError, Problem, Refused
from medfed.core.options import option
from medfed.core.query import Query
from medfed.core.task import Execution, Interval, LocalJob
from medfed.core.update import Facts, Stats, Tensors, add_stats
from medfed.tasks.segmentation import dice_focal
from medfed.tasks.segmentation_stats import (
    HIGHER_IS_BETTER,
    figures,
    overlap,
    patient_stats,
    segmentation_metrics,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from medfed.frameworks.examples import Examples
    from medfed.tasks.patch_examples import (
        Augmentation,
        PictureBatch,
        PictureExamples,
        Pictures,
    )

_SETS: tuple[SetName, ...] = ("train", "valid", "test")
LEVELS = 6
GROUPS = 4
STEP = 16
"""What edges must be a multiple of: the network halves them four times."""
PRIOR = 0.05


@dataclass(frozen=True)
class PatchSegmentation:
    """Outline tumours on two-dimensional CT patches.

    The model is MONAI's BasicUNet (Falk et al., Nature Methods 16, 2019): five levels with skip
    connections, with group normalisation, so that there are no running statistics to average. It
    learns by Dice and focal loss. The figures are those of segmentation: a patient's patches are
    scored together, patients count alike.
    """

    metric: ClassVar[str] = "dice"
    higher_is_better: ClassVar[Mapping[str, bool]] = HIGHER_IS_BETTER
    takes: ClassVar[str] = PATCHES

    filters: tuple[int, ...] = option(
        (16, 16, 32, 64, 64, 16),
        help="Channels of the five levels, and of the last layer; multiples of 4",
    )
    dropout: float = option(0.0, help="Share of channels left out in training", low=0, high=0.9)
    mirror: bool = option(True, help="Mirror patches from left to right, half of the times")
    rotate: float = option(180.0, help="Largest turn of a patch, degrees", low=0, high=180)
    zoom: float = option(
        0.2, help="Largest part by which a patch is enlarged or reduced", low=0, high=0.5
    )
    move: float = option(0.1, help="Largest part of its edge by which it is moved", low=0, high=0.5)
    brightness: float = option(
        0.05, help="Largest change of a patch's brightness, as a share of the range", low=0, high=1
    )
    contrast: float = option(0.1, help="Largest change of a patch's contrast", low=0, high=0.9)
    focal: float = option(10.0, help="Weight of the focal loss beside the Dice loss", low=0)
    threshold: float = option(0.5, help="Probability from which a pixel is marked", above=0, high=1)

    def __post_init__(self) -> None:
        if len(self.filters) != LEVELS or any(f < GROUPS or f % GROUPS for f in self.filters):
            remedy = "Give six multiples of 4, such as [16, 16, 32, 64, 64, 16]"
            problem = Problem("task.filters", "do not make this network", remedy)
            raise PartError("the task cannot be used as given", [problem])

    def prepare(self) -> Sequence[Query]:
        """Nothing: patches come scaled."""
        return ()

    def execution(self) -> Execution:
        """A GPU where there is one; else all cores. The network is too small for bfloat16."""
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Execution(threads=cores(), precision="fp32", device=device)

    def build(self) -> "nn.Module":
        """The untrained network."""
        from monai.networks.nets import BasicUNet
        from torch import nn

        net: Any = BasicUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            features=self.filters,
            norm=("group", {"num_groups": GROUPS, "affine": True}),
            dropout=self.dropout,
        )
        # Few pixels are tumour: start from a low probability (Lin et al., ICCV 2017).
        nn.init.constant_(net.final_conv.bias, math.log(PRIOR / (1 - PRIOR)))
        built: nn.Module = net
        return built

    def initial(self, seed: int, facts: Facts) -> Tensors:
        """The untrained model; the same for the same seed."""
        from medfed.frameworks.torch_job import initial

        return initial(self.build, seed)

    def job(self, data: SiteData, facts: Facts, seed: int, execution: Execution) -> LocalJob:
        """Open a site's workplace.

        Raises:
            DataError: The patches do not fit the network.
            Refused: No training patient.
        """
        from medfed.frameworks.torch_job import Learning, TorchJob, seeded_build

        if not data.count("train"):
            remedy = "Give the split a larger training share, or leave the site out"
            message = f"site {data.site} has no training patient"
            raise Refused("no-data", message, remedy=remedy)
        per_patch = dice_focal(self.focal)
        learning: Learning[PictureBatch] = Learning(
            loss=lambda module, batch: per_patch(module(batch[0]).float(), batch[1]),
            evaluate=self._evaluate,
            full_batch=64,
        )
        sets = {name: self._examples(data, name) for name in _SETS}
        module = seeded_build(self.build, seed)
        return TorchJob(data.site, module, sets, learning, seed, execution)

    def _examples(self, data: SiteData, name: SetName) -> "PictureExamples":
        from medfed.tasks.patch_examples import PictureExamples

        patients: Sequence[Pictures] = data.load(name)
        for patient in patients:
            edges = patient.images.shape[1:]
            if patient.images.shape != patient.masks.shape or any(n % STEP for n in edges):
                message = f"site {data.site}: patches of {edges} pixels do not fit the network"
                remedy = f"Their edges must be multiples of {STEP}, and masks of the same shape"
                raise DataError(message, remedy=remedy)
        return PictureExamples(patients, self._augmentation())

    def _augmentation(self) -> "Augmentation":
        from medfed.tasks.patch_examples import Augmentation

        return Augmentation(
            mirror=self.mirror,
            rotate=self.rotate,
            zoom=self.zoom,
            move=self.move,
            brightness=self.brightness,
            contrast=self.contrast,
        )

    def predict(self, module: "nn.Module", images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of tumour for each pixel; shape (patches, y, x) as the images."""
        found: NDArray[np.float32] = self._logits(module, images).sigmoid()[:, 0].cpu().numpy()
        return found

    def _logits(self, module: "nn.Module", images: NDArray[np.float32]) -> "torch.Tensor":
        import torch

        device = next(module.parameters()).device
        parts = torch.from_numpy(np.ascontiguousarray(images))[:, None].to(device).split(64)
        return torch.cat([module(part).float() for part in parts])

    def _evaluate(self, module: "nn.Module", on: "Examples[PictureBatch]") -> Stats:
        from medfed.tasks.patch_examples import PictureExamples

        assert isinstance(on, PictureExamples)  # noqa: S101  # this task serves nothing else
        return add_stats(self._patient(module, patient) for patient in on.patients)

    def _patient(self, module: "nn.Module", patient: "Pictures") -> Stats:
        import torch

        logits = self._logits(module, patient.images)
        truth = torch.from_numpy(patient.masks)[:, None].to(logits.device).float()
        loss = float(dice_focal(self.focal)(logits, truth).mean())
        marked = (logits.sigmoid() >= self.threshold)[:, 0].cpu().numpy()
        return patient_stats(overlap(_apart(patient.masks), _apart(marked), loss))

    def summarise(self, total: Stats, *, intervals: bool = False) -> dict[str, Interval]:
        """Dice, sensitivity, false positives and loss; see `segmentation_stats`."""
        return segmentation_metrics(total, intervals=intervals)

    def figures(self, totals: Stats) -> dict[str, NDArray[Any]]:
        """The metrics of many totals at once, for redrawing patients."""
        return figures(totals)

    def importance(self, total: Stats) -> dict[str, Interval]:
        """Nothing: pixels are no inputs to be shuffled."""
        return {}

    def describe(self, facts: Facts) -> dict[str, Any]:
        """Words for the model card."""
        return {
            "model": "2D U-Net (MONAI BasicUNet), five levels, "
            f"{' → '.join(map(str, self.filters))} channels, group normalisation",
            "inputs": "axial CT patches, scaled to 0 … 1",
            "outputs": f"probability of tumour for each pixel; marked from {self.threshold:g}",
            "parameters": sum(p.numel() for p in self.build().parameters()),
            "training": {
                "loss": f"Dice + {self.focal:g} × focal",
                "augmentation": self._augmentation().describe(),
                "dropout": self.dropout,
            },
        }


def _apart(pictures: NDArray[Any]) -> NDArray[Any]:
    """Pictures one behind the other with a gap between them, so that no piece spans two."""
    spread = np.zeros((2 * len(pictures), *pictures.shape[1:]), pictures.dtype)
    spread[::2] = pictures
    return spread
