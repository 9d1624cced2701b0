"""A pickle is planted in everything that is read from outside; none of them runs."""

import ast
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from medfed.connectors import metaimage, nifti, patches_2d
from medfed.connectors.csv_table import read_table
from medfed.connectors.scans.reading import read_labels, read_scan
from medfed.core.errors import DataError, MedfedError
from medfed.core.no_pickles import unpickling_refused
from medfed.federation.site_folder import SiteFolder
from medfed.federation.spool import SpooledUpdate, decode_update
from medfed.federation.wire import Order, Sealed, sha256
from medfed.frameworks.export import read_pth
from medfed.services.comparison.scoring import _kept
from medfed.storage.models import read_model
from medfed.storage.run_folder import RunFolder

SOURCE = Path(__file__).resolve().parent.parent.parent / "src" / "medfed"
RAN = []


def ran(*_):
    RAN.append("a planted pickle ran")
    return {}


class Planted:
    """Runs `ran` where it is unpickled."""

    def __reduce__(self):
        return ran, ()


@pytest.fixture(autouse=True)
def nothing_ran():
    RAN.clear()
    yield
    assert RAN == []


def plain():
    return pickle.dumps(Planted())


def pth():
    """As torch.save writes it: a zip with a pickle inside."""
    import torch

    blob = io.BytesIO()
    torch.save({"w": Planted()}, blob)
    return blob.getvalue()


def npy():
    blob = io.BytesIO()
    np.save(blob, np.array([Planted()], dtype=object), allow_pickle=True)
    return blob.getvalue()


def npz():
    blob = io.BytesIO()
    np.savez(blob, model=np.array([Planted()], dtype=object), w=np.ones(2))
    return blob.getvalue()


def safetensors():
    """A sound header around a pickle as the content."""
    content = plain()
    header = json.dumps(
        {"t:model/x": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
    ).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content


def joblib():
    import joblib as library

    blob = io.BytesIO()
    library.dump(Planted(), blob)
    return blob.getvalue()


PLANTS = {
    "pickle": plain, "pth": pth, "npy": npy, "npz": npz, "safetensors": safetensors,
    "joblib": joblib,
}  # fmt: skip


def spooled(path):
    SpooledUpdate(path, "a")
    decode_update(path.read_bytes())


def stored_reply(path):
    Sealed.from_bytes(path.read_bytes())


def memory(path):
    order = Order("run", "s", "north", 2, "train", "", 1, "{}", sha256(b""), 0)
    place = path.parent / "site" / "runs" / "run"
    place.mkdir(parents=True, exist_ok=True)
    (place / "memory-000001.safetensors").write_bytes(path.read_bytes())
    SiteFolder(path.parent / "site").memory(order)


def checkpoint(path):
    folder = path.parent / "run"
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints" / "round-000001.safetensors").write_bytes(path.read_bytes())
    RunFolder(folder).load()


def mha(path):
    """A header whose voxels are the pickle."""
    content = path.read_bytes()
    header = f"NDims = 3\nDimSize = {len(content)} 1 1\nElementType = MET_UCHAR\n"
    header += "ElementSpacing = 1 1 1\nOffset = 0 0 0\nElementDataFile = LOCAL\n"
    file = path.with_suffix(".mha")
    file.write_bytes(header.encode() + content)
    metaimage.read_volume(file)


def nii(path):
    file = path.with_suffix(".nii")
    file.write_bytes(path.read_bytes())
    nifti.read_nifti(file)


def h5(path):
    import h5py

    file = path.with_suffix(".h5")
    with h5py.File(file, "w") as new:
        for name in ("images", "labels"):
            new[name] = np.frombuffer(path.read_bytes(), np.uint8).reshape(1, 1, -1)
            new[name].attrs["pickle"] = np.void(path.read_bytes())
    patches_2d._read(file)


def zipped(path):
    file = path.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as new:
        new.writestr("a.dcm", path.read_bytes())
        new.writestr("data.pkl", path.read_bytes())
    read_scan(file)


def csv(path):
    read_table(path)


def kept_scores(path):
    _kept(path, "digest", {}, ["a"])


READERS = [
    read_pth, read_model, spooled, stored_reply, memory, checkpoint, read_scan, mha, nii, h5,
    zipped, csv, kept_scores,
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_no_reader_runs_a_planted_pickle(reader, plant, tmp_path):
    file = tmp_path / f"planted.{plant}"
    file.write_bytes(PLANTS[plant]())
    try:
        reader(file)
    except (MedfedError, ValueError):
        return
    # Read as plain bytes (voxels, numbers), or as nothing: that is no harm.


def test_masks_are_not_unpickled_either(tmp_path):
    from medfed.imaging.geometry import Geometry

    (tmp_path / "mask.mha").write_bytes(plain())
    like = Geometry((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(DataError):
        read_labels(tmp_path / "mask.mha", like)


@pytest.mark.parametrize(
    "careless",
    [
        lambda: pickle.loads(plain()),
        lambda: pickle._loads(plain()),
        lambda: np.load(io.BytesIO(npy()), allow_pickle=True),
        lambda: np.load(io.BytesIO(npz()), allow_pickle=True)["model"],
        lambda: __import__("torch").load(io.BytesIO(pth()), weights_only=False),
        lambda: __import__("joblib").load(io.BytesIO(joblib())),
        lambda: __import__("pandas").read_pickle(io.BytesIO(plain())),
    ],
)
def test_the_guard_stops_whoever_forgot(careless):
    with unpickling_refused(), pytest.raises(DataError, match="holds a pickle"):
        careless()
    assert RAN == []
    # Elsewhere, and afterwards, Python is as it was.
    careless()
    assert RAN == ["a planted pickle ran"]
    RAN.clear()


def test_the_guard_also_decorates_and_ends_with_its_block():
    @unpickling_refused()
    def read():
        return pickle.loads(plain())

    with pytest.raises(DataError):
        read()
    with unpickling_refused(), unpickling_refused():
        pass
    assert pickle.loads(pickle.dumps([1, {"a": 2.0}])) == [1, {"a": 2.0}]


def test_what_crosses_the_wire_is_read_under_the_guard(monkeypatch):
    """Somebody makes a reader careless: what came from outside still does not run."""
    from medfed.federation import spool

    monkeypatch.setattr(spool, "_views", lambda blob: pickle.loads(bytes(blob)))
    with pytest.raises(DataError, match="holds a pickle"):
        decode_update(plain())


FORBIDDEN = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "jsonpickle",
}


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, ast.unparse(node.func)


@pytest.mark.parametrize(
    "file", sorted(SOURCE.rglob("*.py")), ids=lambda f: f.relative_to(SOURCE).as_posix()
)
def test_no_line_of_ours_unpickles(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for call, name in calls(tree):
        given = {k.arg: ast.unparse(k.value) for k in call.keywords}
        module, _, function = name.rpartition(".")
        if function in ("load", "loads", "Unpickler"):
            assert module not in FORBIDDEN, f"{name} in line {call.lineno}"
        if name == "torch.load":
            assert given.get("weights_only") == "True", f"line {call.lineno}"
        if name in ("np.load", "numpy.load"):
            assert given.get("allow_pickle", "False") == "False", f"line {call.lineno}"
        assert function not in ("read_pickle", "PersistentDataset", "CacheNTransDataset"), name
