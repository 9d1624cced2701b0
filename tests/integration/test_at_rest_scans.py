"""A run on scans in sealed folders: no voxel lies open on the disk, as read or as prepared."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from integration.federated import go

from medfed.connectors.phantom import make_phantom
from medfed.connectors.scans import reading
from medfed.connectors.volumes import Volumes
from medfed.core.study_file import parse_study
from medfed.federation.exchange import Exchange
from medfed.federation.keys import make_key
from medfed.services.at_rest import encrypt_site
from medfed.services.sites import create_site, open_site, trust
from medfed.tasks.patches import scaled
from medfed.tasks.segmentation_cases import prepare

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SITES = ("hospital-1", "hospital-2")
SPACING = 4.0
LONG = 12
"""Voxels of a row that are looked for, fewer than a patch is wide: 24 bytes as they are read, 48 as
the network sees them."""
OPENS = 6
pytestmark = pytest.mark.usefixtures("quick")


def study():
    text = (EXAMPLES / "nodules.toml").read_text("utf-8")
    for old, new in (
        ('sites = ["hospital-1", "hospital-2", "hospital-3"]', f"sites = {list(SITES)}"),
        ("rounds = 40", "rounds = 1"),
        ("filters = [16, 32, 64]", "filters = [4, 8, 8]\nroi = 32"),
        ("local_steps = 20", "local_steps = 2"),
        ("valid = 0.07 ", "valid = 0.2 "),
    ):
        assert old in text
        text = text.replace(old, new.replace("'", '"'))
    return parse_study(text)


def hospitals(tmp_path, key):
    """Two sites with a few scans in their own folders, sealed where there is a key."""
    phantom = make_phantom(tmp_path / "phantom", SITES, 5, "small", seed=4).out
    home = tmp_path / "hospitals"
    (home / "coordinator").mkdir(parents=True)
    coordinator = make_key(home / "coordinator")
    for name in SITES:
        shutil.copytree(phantom / name, home / name / "data" / name)
        create_site(home / name, name, home / name / "data")
        trust(home / name, coordinator.public_key())
        open_site(home / name).folder.approve(study())
        if key:
            encrypt_site(home / name, str(key))
    return home, phantom


def secrets_of(phantom):
    """Rows of every scan that no other thing is likely to hold: as read, and as prepared."""
    read, ready = [], []
    for name in SITES:
        source = Volumes().open(phantom, name, SITES)
        for patient in source.patients():
            (case,) = source.load([patient])
            made = prepare(case, SPACING, crop=True).hu
            seen = scaled(made.astype(np.float32), study().make_task()._window)
            read += rows(case.volume().hu, np.dtype("<i2"))
            ready += [*rows(made, np.dtype("<i2")), *rows(seen, np.dtype("<f4"))]
    return read, ready


def rows(voxels, kind):
    """Some rows in which hardly two neighbours are alike, as bytes."""
    many = np.ascontiguousarray(voxels).reshape(-1, voxels.shape[-1])
    middle = many[:, many.shape[1] // 2 - LONG // 2 :][:, :LONG]
    lively = [
        row for row in middle[:: max(1, len(middle) // 200)] if len(np.unique(row)) > LONG / 2
    ]
    assert lively
    return [row.astype(kind).tobytes() for row in lively[:20]]


def lying_open(places, secrets):
    """Files that hold any of the secrets."""
    found = set()
    for place in places:
        for file in place.rglob("*"):
            with suppress(FileNotFoundError):
                if file.is_file():
                    content = file.read_bytes()
                    found |= {file for secret in secrets if secret in content}
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sealed", [True, False])
def test_no_voxel_lies_open_during_and_after_a_run_on_scans(sealed, tmp_path, monkeypatch):
    key = tmp_path / "site.key"
    key.write_bytes(bytes(range(32)))
    temp, out = tmp_path / "temp", tmp_path / "run"
    temp.mkdir()
    monkeypatch.setenv("TMPDIR", str(temp))
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    home, phantom = hospitals(tmp_path, key if sealed else None)
    read, ready = secrets_of(phantom)
    places, seen = (home, out, temp), []
    plain = Exchange.drop_odd

    def looked(exchange, arrived):
        seen.append(lying_open(places, [*read, *ready]))
        return plain(exchange, arrived)

    opened = reading._read

    def read_while_looking(path, *which):
        """While a copy of a sealed scan is there for its reader."""
        if len(opens) < OPENS:
            opens.append(lying_open(places, read))
        return opened(path, *which)

    opens = []
    monkeypatch.setattr(reading, "_read", read_while_looking)
    monkeypatch.setattr(Exchange, "drop_odd", looked)
    go(study(), out, sites=home, **({"encrypt_with": str(key)} if sealed else {}))
    seen.append(lying_open(places, [*read, *ready]))
    assert len(seen) > 2
    assert len(opens) == OPENS
    if sealed:
        assert not set.union(*seen, *opens), "voxels lie open on the disk"
    else:
        assert all(lying_open([home / name], read) for name in SITES), (
            "the search sees what is there"
        )
    (temp / "left").write_bytes(b"before" + ready[-1] + b"after")
    assert lying_open([temp], ready) == {temp / "left"}, "as it would see what was prepared"
