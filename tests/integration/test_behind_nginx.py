"""A console behind the nginx of deploy/: large files pass, and none of them lies on its disk."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from accounting import BREAST_CANCER, PASSWORD
from consoles import TOKEN, WANG, finish, peopled, serving
from front import Front, behind, unchecked
from hospitals import API, BYTES
from unit.inference.threshold import about

from medfed.core.registry import Part, make
from medfed.services.accounts import Identity
from medfed.services.console import Console, Faces
from medfed.services.sites import create_site
from medfed.storage.models import write_model
from medfed.web import WebOptions
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("nginx"), pytest.mark.needs_package("openssl")]

LARGE = 40_000_000
LARGE_FILTERS = (64, 128, 256)
EVERYTHING = ("coordinator", "data-steward")


@dataclass
class Reached:
    """A console of both faces, the nginx before it, and somebody who may do everything there."""

    console: Console
    front: Front
    client: httpx.Client
    run: str


class Watched(io.BytesIO):
    """What is sent; half-way it looks what nginx has on its disk, or the connection is gone."""

    def __init__(self, content: bytes, front: Front, *, drops: bool = False) -> None:
        super().__init__(content)
        self.front, self.drops, self.half = front, drops, len(content) // 2
        self.on_disk: list[str] | None = None

    def read(self, size: int | None = -1) -> bytes:
        if self.on_disk is None and self.tell() >= self.half:
            self.on_disk = self.front.on_disk()
            if self.drops:
                raise ConnectionError("the cable was pulled")
        return super().read(size)


@pytest.fixture
def reached(tmp_path: Path) -> Iterator[Reached]:
    front, site = Front(tmp_path), tmp_path / "site"
    create_site(site, "north", None)
    options, faces = WebOptions(url=front.url), Faces(site=site, coordinates=True)
    server = Server(tmp_path / "console", faces=faces, options=options, bcrypt_rounds=4)
    accounts = peopled(server.console).accounts
    root = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
    user, _ = accounts.create(root, "all", "", EVERYTHING)
    accounts._set_password(root, user, PASSWORD, must_change=False)
    run = _finished_run(server.console)
    with (
        serving(server),
        behind(front, server.port),
        httpx.Client(base_url=front.url, verify=unchecked(), timeout=120) as client,
    ):
        client.headers["Referer"] = f"{front.url}/"
        login = client.post("/login", data={**_token(client), "name": "all", "password": PASSWORD})
        assert login.status_code == 302, login.text
        client.headers["X-CSRFToken"] = _token(client, "/profile/")["csrf_token"]
        yield Reached(server.console, front, client, run)


def _finished_run(console: Console) -> str:
    """A run that is over before anybody looks after runs."""
    study = console.studies.create(WANG, BREAST_CANCER)
    console.studies.approve(WANG, study.id, study.digest)
    run = console.runs.start(WANG, study.id)
    finish(console, run)
    return run.id


def _token(client: httpx.Client, path: str = "/login") -> dict[str, str]:
    found = TOKEN.search(client.get(path).text)
    assert found
    return {"csrf_token": found[1]}


def test_a_scan_goes_on_where_it_was_when_the_connection_broke(reached: Reached):
    client, content = reached.client, os.urandom(LARGE)
    job = client.post(f"{API}/imports", json={}).json()["id"]
    own = {"Tus-Resumable": "1.0.0", "Content-Type": BYTES}
    pairs = {"filename": "scan.zip", "import": job}
    said = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items())
    headers = {**own, "Upload-Length": str(LARGE), "Upload-Metadata": said}
    url = client.post(f"{API}/uploads", headers=headers).headers["Location"]

    def send(offset: int, sent: Watched) -> int:
        headers = {**own, "Upload-Offset": str(offset), "Content-Length": str(LARGE - offset)}
        return client.patch(url, headers=headers, content=sent).status_code

    def received() -> int:
        return int(client.head(url, headers=own).headers["Upload-Offset"])

    pulled = Watched(content, reached.front, drops=True)
    with pytest.raises(ConnectionError):
        send(0, pulled)
    assert pulled.on_disk == []
    # As clients of TUS do: ask, and go on from there; refused while the old connection still ends.
    status = 409
    while status == 409:
        offset = received()
        rest = Watched(content[offset:], reached.front)
        status = send(offset, rest)
    assert (status, received()) == (204, LARGE)
    assert 0 < offset < LARGE
    assert rest.on_disk == []
    uploads = reached.console.hospital.uploads
    (row,) = uploads.of_job(job)
    assert uploads.part(row).read_bytes() == content


def test_a_large_model_is_approved(reached: Reached, tmp_path: Path):
    model = _large_model(tmp_path / "model.safetensors")
    sent = Watched(model.read_bytes(), reached.front)
    answer = reached.client.post("/released/", files={"model": ("model.safetensors", sent)})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/released/1"), answer.text
    assert sent.on_disk == []
    assert "A threshold" in reached.client.get("/released/1").text


def test_what_somebody_loads_slowly_waits_at_the_console(reached: Reached):
    content = os.urandom(LARGE)
    folder = reached.console.place.run_folder(reached.run)
    (folder / "model.safetensors").write_bytes(content)
    with reached.client.stream("GET", f"/runs/{reached.run}/files/model.safetensors") as answer:
        pieces = answer.iter_bytes()
        got = [next(pieces)]
        for _ in range(10):  # a slow line: nginx could take everything from the console meanwhile
            time.sleep(0.1)
            assert reached.front.on_disk() == []
        got += pieces
    assert b"".join(got) == content


def _large_model(file: Path) -> Path:
    """One that is larger than what other pages take; it has learnt nothing."""
    task = make("task", Part("nodule-segmentation", {"filters": LARGE_FILTERS}))
    own = about(filters=list(LARGE_FILTERS))
    write_model(file, task.initial(1, {}), own)
    assert file.stat().st_size > 10_000_000
    return file
