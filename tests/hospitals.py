"""A hospital for tests: people, files sent by TUS, and jobs done in this very process."""

from __future__ import annotations

import base64
import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from consoles import Stage, csrf_of
from sqlalchemy import select
from unit.connectors.dicom_files import ramp, write_series

from medfed.services.hospital.jobs import QUEUED, RUNNING
from medfed.services.hospital.work import work
from medfed.storage.database.tables import JobRow

API = "/api/v1"
BYTES = "application/offset+octet-stream"


@dataclass
class Sender:
    """A person who sends files, as a browser with TUS does."""

    stage: Stage
    name: str = "data-steward"
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.stage.client(self.name)
        self.headers = {
            "X-CSRFToken": csrf_of(self.client, "/profile/"),
            "Tus-Resumable": "1.0.0",
        }

    def call(self, method: str, path: str, **more):
        """Call the API."""
        headers = {**self.headers, **more.pop("headers", {})}
        path = path if path.startswith("/") else f"{API}/{path}"
        return self.client.open(path, method=method, headers=headers, **more)

    def begin(self, **options) -> str:
        """Open an import."""
        answer = self.call("POST", "imports", json=options)
        assert answer.status_code == 201, answer.text
        return answer.json["id"]

    def announce(self, job: str, name: str, length: object):
        """Announce a file."""
        pairs = {"filename": name, "import": job}
        said = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items())
        return self.call(
            "POST", "uploads", headers={"Upload-Length": str(length), "Upload-Metadata": said}
        )

    def patch(self, url: str, offset: int, content: bytes, **headers: str):
        """Send bytes."""
        own = {"Upload-Offset": str(offset), "Content-Type": BYTES, **headers}
        return self.call("PATCH", url, headers=own, data=content)

    def send(self, job: str, name: str, content: bytes) -> str:
        """Send a whole file; its address."""
        made = self.announce(job, name, len(content))
        assert made.status_code == 201, made.text
        if content:
            answer = self.patch(made.headers["Location"], 0, content)
            assert answer.status_code == 204, answer.text
        return made.headers["Location"]

    def run(self, job: str) -> dict:
        """Have an import done, in this process, and see what came of it."""
        started = self.call("POST", f"imports/{job}/start")
        assert started.status_code == 200, started.text
        do_jobs(self.stage)
        return self.call("GET", f"imports/{job}").json

    def import_zip(self, content: bytes, **options) -> dict:
        """Send one zip and have it imported."""
        job = self.begin(**options)
        self.send(job, "scans.zip", content)
        return self.run(job)


def do_jobs(stage: Stage) -> None:
    """Do all jobs that wait, as the keeper's processes would."""
    console = stage.console
    with console.database.read() as session:
        waiting = list(session.scalars(select(JobRow.id).where(JobRow.state == QUEUED)))
    for job in waiting:
        with console.database.write() as session:
            session.get_one(JobRow, job).state = RUNNING
        work(console.place.path, console.hospital.site, job, console.database)


def zipped(folder: Path) -> bytes:
    """A folder as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def series_zip(folder: Path, **more) -> bytes:
    """A small DICOM series as a zip."""
    write_series(folder, ramp((4, 8, 10)), **more)
    return zipped(folder)
