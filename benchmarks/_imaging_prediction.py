"""Looking at a whole CT: time beside a bare forward pass, what cropping changes, and memory.

The network is the default one. It has not learned for the timing (that changes no time but that of
the findings); whether cropping changes what is found is asked of a network that has.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import torch
from _common import AnonymousPeak, Row, in_fresh_process, ratio, row, timings
from numpy.typing import NDArray

from medfed.connectors.annotations import read_annotations
from medfed.connectors.phantom import make_phantom
from medfed.connectors.scans import read_labels, read_scan
from medfed.connectors.volumes import Volumes
from medfed.core.data import SiteData
from medfed.core.task import Execution, LocalPlan
from medfed.core.update import Tensors
from medfed.frameworks.execution import autocast, lay_out
from medfed.imaging.froc import Finding, Mark, froc, match
from medfed.imaging.geometry import Volume
from medfed.imaging.prediction import ProbabilityMap
from medfed.imaging.resample import resample
from medfed.inference import NodulePredictor
from medfed.tasks.patches import scaled
from medfed.tasks.segmentation import NoduleSegmentation

SPACING_MM = 1.0
SEED = 11
SLICES = 300


def prediction_rows(quick: bool) -> list[Row]:
    """From a file to findings, against the bare forward pass; and what cropping changes."""
    with tempfile.TemporaryDirectory(prefix="medfed-prediction-") as name:
        folder = Path(name)
        return [
            *_time_rows(folder / "one", quick),
            *_writing_rows(folder / "series", quick),
            *_crop_rows(folder / "some", quick),
        ]


def _time_rows(folder: Path, quick: bool) -> list[Row]:
    file = one_scan(folder, quick)
    task = NoduleSegmentation(spacing_mm=3.0 if quick else SPACING_MM)
    predictor = ready(task, task.initial(SEED, {}))
    whole = resample(read_scan(file).volume, task.spacing_mm or 0.0)
    functions: dict[str, Callable[[], Any]] = {
        "ours": lambda: predictor.predict(read_scan(file).volume),
        "bare": bare_forward(task, predictor.predict(read_scan(file).volume).execution, whole),
    }
    took = timings(functions, 1 if quick else 3)
    seconds = {name: statistics.median(own) for name, own in took.items()}
    what = f"predict, {'×'.join(map(str, read_scan(file).volume.shape[::-1]))} voxels"
    return [
        row(f"{what}, read to findings: against one bare forward", ratio(*took.values()), "×", 2.5),
        row(f"{what}, read to findings: time", seconds["ours"], "s"),
        row(f"{what}, one bare forward of the whole: time", seconds["bare"], "s"),
    ]


def _writing_rows(folder: Path, quick: bool) -> list[Row]:
    """Pictures, report and DICOM objects of a scan whose nodules have all been found."""
    from medfed.services.prediction.predict import volume_digest, write_results

    make_phantom(folder, ["hospital"], 1, "small" if quick else "full", SEED, dicom=True)
    series = next(folder.rglob("*.dcm")).parent
    scan = read_scan(series)
    task = NoduleSegmentation()
    predictor = ready(task, task.initial(SEED, {}))
    mask = read_labels(next(folder.rglob("mask.mhd")), scan.volume.geometry)
    setattr(predictor, "_look", Knows(mask, task.execution()))  # noqa: B010  # put in from outside
    found, digest = predictor.predict(scan.volume), volume_digest(scan.volume)
    seconds = []
    for turn in range(2 if quick else 3):
        out = folder / f"results-{turn}"
        out.mkdir()
        start = time.perf_counter()
        write_results(out, series, scan, predictor, found, digest)
        seconds.append(time.perf_counter() - start)
    what = f"predict, reports and DICOM objects of {len(found.findings)} findings: time on top"
    return [row(what, statistics.median(seconds[1:]), "s", 10.0)]


class Knows:
    """A predictor that knows the truth, in place of a network."""

    def __init__(self, truth: NDArray[np.uint8], execution: Execution) -> None:
        self.truth = truth
        self.execution = execution

    def __call__(self, volume: Volume, *_: object) -> ProbabilityMap:
        return ProbabilityMap(self.truth.astype(np.float32), volume.geometry, 0.5)


def bare_forward(
    task: NoduleSegmentation, execution: Execution, volume: Volume
) -> Callable[[], object]:
    """The whole volume through the network once, window beside window, nothing kept but logits."""
    low, high = task.window_hu
    image = torch.from_numpy(scaled(volume.hu.astype(np.float32), (low, high)))
    network = lay_out(task.build(), execution).eval()
    edge, step = task.roi, 2 ** (len(task.filters) - 1)

    def run() -> torch.Tensor:
        torch.set_num_threads(execution.threads)
        logits = torch.empty_like(image)
        with torch.inference_mode(), autocast(execution):
            for box in _windows(volume.shape, edge):
                part = image[box]
                missing = [(-n) % step for n in part.shape]
                sides = [side for n in reversed(missing) for side in (0, n)]
                found = network(torch.nn.functional.pad(part[None, None], sides))
                z, y, x = (slice(0, n) for n in part.shape)
                logits[box] = found[0, 0, z, y, x].float()
        return logits

    return run


def _windows(shape: tuple[int, int, int], edge: int) -> Iterator[tuple[slice, slice, slice]]:
    for z in range(0, shape[0], edge):
        for y in range(0, shape[1], edge):
            for x in range(0, shape[2], edge):
                yield slice(z, z + edge), slice(y, y + edge), slice(x, x + edge)


def _crop_rows(folder: Path, quick: bool) -> list[Row]:
    """CPM on small phantoms, looking at the lungs only and at everything."""
    patients, steps = (8, 60) if quick else (40, 300)
    make_phantom(folder, ["hospital"], patients, "small", SEED)
    source = Volumes().open(folder, "hospital", ("hospital",))
    names = source.patients()
    train, test = names[: patients // 2], names[patients // 2 :]
    task = NoduleSegmentation(filters=(16, 32, 64), patch=16)
    model = _learned(task, SiteData("hospital", source, {"train": tuple(train)}), steps)
    truth = _truth(folder / "hospital" / "annotations.csv")
    cases = [(scan.volume(), truth.get(scan.patient, [])) for scan in source.load(test)]
    cpm = [_cpm(ready(replace(task, crop=crop), model), cases) for crop in (True, False)]
    what = f"predict, CPM on {len(cases)} small phantoms"
    return [
        row(f"{what}, the box around the lungs only", cpm[0], "", better="higher"),
        # Not a promise: without it the next row could hold because nothing was found either way.
        row(f"{what}, everything", cpm[1], "", None if quick else 0.1, better="higher"),
        row(f"{what}: what cropping loses", cpm[1] - cpm[0], "", 0.005),
    ]


def ready(task: NoduleSegmentation, model: Tensors) -> Any:
    """A predictor, as a model's file would make it."""
    options = {name: value for name, value in asdict(task).items() if value is not None}
    about = {"task": {"name": "nodule-segmentation", **options}, "study": "0" * 64}
    return NodulePredictor(model, about)


def one_scan(folder: Path, quick: bool) -> Path:
    """A phantom's file, 512×512×300 at full size: slices are cut or the last repeated."""
    make_phantom(folder, ["hospital"], 1, "small" if quick else "full", SEED)
    file = next(folder.rglob("ct.mhd"))
    if quick:
        return file
    sitk: Any = SimpleITK
    image = sitk.ReadImage(str(file))
    hu = sitk.GetArrayFromImage(image)[:SLICES]
    hu = np.pad(hu, ((0, SLICES - len(hu)), (0, 0), (0, 0)), mode="edge")
    longer = sitk.GetImageFromArray(hu)
    longer.SetSpacing(image.GetSpacing())
    longer.SetOrigin(image.GetOrigin())
    longer.SetDirection(image.GetDirection())
    out = folder / "longer.mhd"
    sitk.WriteImage(longer, str(out))
    return out


def memory_rows(quick: bool) -> list[Row]:
    """The peak of anonymous memory while a scan is looked at, above that after the imports."""
    with tempfile.TemporaryDirectory(prefix="medfed-memory-") as name:
        file = one_scan(Path(name), quick)
        peak = in_fresh_process(__file__, str(file), "quick" if quick else "full")
    return [row("predict, peak of anonymous memory above the imports", peak / 1e9, "GB", 2.5)]


def watched(file: Path, quick: bool) -> int:
    """In the fresh process: imports, then a prediction under watch."""
    import cc3d  # noqa: F401  # imported before the watch begins, as all the rest
    import monai.inferers  # noqa: F401  # so too

    import medfed.tasks.segmentation_predictor  # noqa: F401  # so too

    task = NoduleSegmentation(spacing_mm=3.0 if quick else SPACING_MM)
    predictor = ready(task, task.initial(SEED, {}))
    with AnonymousPeak() as peak:
        found = predictor.predict(read_scan(file).volume)  # held until the last look
    assert found.labels.ndim == 3
    return peak.bytes


def _learned(task: NoduleSegmentation, site: SiteData, steps: int) -> Tensors:
    """A network that has learned a little; both ways of looking are given the same."""
    plan = LocalPlan(steps=steps, batch_size=8, optimizer="adam", lr=0.01, labels=("bench",))
    trained = task.job(site, {}, SEED, task.execution()).train(task.initial(SEED, {}), plan)
    return trained.tensors


def _truth(file: Path) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for nodule in read_annotations(file):
        found.setdefault(nodule.series, []).append(Finding(nodule.centre_mm, nodule.diameter_mm))
    return found


def _cpm(look: Any, cases: Sequence[tuple[Volume, list[Finding]]]) -> float:
    scored = []
    for volume, truth in cases:
        marks = [Mark(f.centre_mm, f.score) for f in look.predict(volume).findings]
        scored.append(match(marks, truth))
    return froc(scored).cpm.value


if __name__ == "__main__":
    print(json.dumps(watched(Path(sys.argv[1]), sys.argv[2] == "quick")))
