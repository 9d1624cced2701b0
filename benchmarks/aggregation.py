"""Aggregating spooled updates: time against a bare NumPy sum, and anonymous memory.

The files lie in a temporary folder (3.2 GB at full size; where the disk has less room, sites share
files by hard link, and the output says so). Both sums read them from the page cache.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _common import AnonymousPeak, Row, arguments, in_fresh_process, ratio, report, row, timings

from medfed.aggregators.mean import Mean
from medfed.core.update import Update
from medfed.federation.spool import SpooledUpdate, check_update, encode_update

SITES = (8, 32)
FULL, QUICK = 25_000_000, 8_000_000
"""Parameters of the model: 100 MB and 32 MB. Much less would fit into the processor's cache, where
the bare sum costs nearly nothing and the comparison says little about large models."""


def make_files(folder: Path, sites: int, size: int) -> tuple[list[Path], int]:
    """One update a site, as a model of eight layers; how many files are different ones."""
    room = shutil.disk_usage(folder).free - 4 * 1024**3
    different = max(1, min(sites, room // (4 * size + 4096)))
    paths: list[Path] = []
    for site in range(sites):
        path = folder / f"{site:03}.safetensors"
        if site < different:
            path.write_bytes(encode_update(make_update(site, size)))
        else:
            path.hardlink_to(paths[site % different])
        paths.append(path)
    return paths, different


def make_update(site: int, size: int) -> Update:
    rng = np.random.default_rng(site)
    layers = np.array_split(rng.standard_normal(size, dtype=np.float32), 8)
    tensors = {f"model/layer{i}.weight": layer for i, layer in enumerate(layers)}
    return Update(tensors, {"model": 100.0 + site}, {"loss": np.array(1.0)})


def engine(paths: list[Path]) -> Update:
    """What the coordinator does once all replies lie in the spool."""

    spooled = [SpooledUpdate(path, path.stem) for path in paths]
    return Mean().gather(lambda *_: spooled, {}).total


def bare(paths: list[Path], size: int) -> np.ndarray[Any, Any]:
    """What one would write without thinking: every model times its weight, added up."""
    total = np.zeros(size, np.float32)
    for path in paths:
        offset = path.stat().st_size - 4 * size
        array = np.memmap(path, np.float32, mode="r", offset=offset)[:size]
        total += np.float32(1.25) * array
    return total


def check_all(paths: list[Path]) -> None:
    for path in paths:
        check_update(SpooledUpdate(path, path.stem))


def times(paths: list[Path], size: int, repeats: int) -> list[Row]:
    functions = {
        "engine": lambda: engine(paths),
        "bare": lambda: bare(paths, size),
        "check": lambda: check_all(paths),
    }
    took = timings(functions, repeats)
    what = label(len(paths), size)
    return [
        row(f"{what}: time against a bare sum", ratio(took["engine"], took["bare"]), "×", 1.5),
        row(f"{what}: time", 1000 * median(took["engine"]), "ms"),
        row(f"{what}: looking through all of them first", 1000 * median(took["check"]), "ms"),
    ]


def memory(folder: Path, sites: int, size: int) -> float:
    """Peak anonymous memory of one aggregation in a fresh process, in models."""
    peak = in_fresh_process(__file__, "--measure", str(folder), str(sites))
    return float(peak) / (4 * size)


def measure(folder: Path, sites: int) -> None:
    """In the fresh process: aggregate and print the peak."""
    with AnonymousPeak() as peak:
        total = engine(sorted(folder.glob("*.safetensors"))[:sites])  # held until the last look
    assert total.weights
    print(json.dumps(peak.bytes))


def label(sites: int, size: int) -> str:
    return f"{sites} × {4 * size // 1_000_000} MB"


def main() -> None:
    parser = arguments(__doc__)
    options = parser.parse_args()
    size, repeats = (QUICK, 9) if options.quick else (FULL, 7)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="medfed-aggregation-") as name:
        folder = Path(name)
        paths, different = make_files(folder, max(SITES), size)
        if different < len(paths):
            print(f"little room: {len(paths)} sites share {different} files", file=sys.stderr)
        for sites in SITES:
            rows += times(paths[:sites], size, repeats)
        peaks = [memory(folder, sites, size) for sites in SITES]
        for sites, peak in zip(SITES, peaks, strict=True):
            rows.append(row(f"{label(sites, size)}: anonymous memory", peak, "models", 3.0))
        what = f"anonymous memory, {SITES[-1]} sites against {SITES[0]}"
        rows.append(row(what, peaks[-1] / peaks[0], "×", 1.1))
    report(rows, as_json=options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
