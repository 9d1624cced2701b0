"""The console under load: a thousand open pages while a run trains; a large file sent to it.

Everything is real: gunicorn as in deploy/, PostgreSQL, WebSockets, a run that the console starts.
The console and that run are held to one core, as on a small machine; the database and those who
look on have the others. A delay is from the moment that something happened in a run to the moment
that its sentence is at a page.
"""

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from _common import Row, arguments, report, row
from _uploads import upload_rows

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))  # they have a PostgreSQL of their own

EVERY_SECONDS = 0.2
MARK = re.compile(r"t(\d{15,})e")


@contextmanager
def console_on_one_core(folder: Path, url: str, port: int) -> Iterator[None]:
    """The console as in production, held with all that it starts to the machine's first core."""
    here = {"MEDFED_CONSOLE": str(folder), "MEDFED_DATABASE": url, "OMP_NUM_THREADS": "1"}
    settings = ROOT / "deploy" / "gunicorn" / "console.py"
    words = ["--config", settings, "--bind", f"127.0.0.1:{port}", "medfed.cli.serve:application()"]
    first = min(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(first), sys.executable, "-m", "gunicorn", *map(str, words)]
    process = subprocess.Popen(command, env={**os.environ, **here}, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 60
        while True:
            try:
                healthy(port)
                break
            except OSError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def healthy(port: int) -> float:
    """Milliseconds until /healthz has answered."""
    start = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        answer.read()
    return 1e3 * (time.perf_counter() - start)


class Viewer:
    """A page that follows a run, as the script of the page does it."""

    def __init__(self) -> None:
        self.follows = False
        self.delays: list[float] = []
        self.seen: Counter[str] = Counter()

    async def look(self, url: str, token: str, run: str, door: asyncio.Semaphore) -> None:
        """Connect, then take what comes until cancelled."""
        import websockets

        headers = {"Authorization": f"Bearer {token}"}
        async with door:
            socket = await websockets.connect(
                url, additional_headers=headers, compression=None, max_size=None, open_timeout=60
            )
            await socket.recv()
            await socket.send("40")
            await socket.recv()
            await socket.send("420" + json.dumps(["follow", {"run": run, "after": 0}]))
            while not str(await socket.recv()).startswith("430"):
                pass
            self.follows = True
        async with socket:
            while True:
                text = str(await socket.recv())
                if text == "2":
                    await socket.send("3")
                    continue
                arrived = time.time_ns()
                for mark in set(MARK.findall(text)):
                    self.seen[mark] += 1
                    self.delays.append((arrived - int(mark)) / 1e6)


async def watch(
    port: int, token: str, run: str, viewers: list[Viewer], happen: Any, seconds: float
) -> None:
    """Open all pages, then let things happen for some seconds."""
    url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    door = asyncio.Semaphore(20)
    looking = [asyncio.create_task(v.look(url, token, run, door)) for v in viewers]
    while not all(viewer.follows for viewer in viewers):
        for task in looking:
            if task.done():
                task.result()  # only to say what went wrong
        await asyncio.sleep(0.5)
    await asyncio.to_thread(happen, seconds)
    await asyncio.sleep(3.0)  # for what is still on its way
    for task in looking:
        task.cancel()
    await asyncio.gather(*looking, return_exceptions=True)


def prepared(folder: Path, url: str) -> tuple[Any, str, str, str]:
    """A console with a run that trains and one to be followed; its viewers' token."""
    from accounting import BREAST_CANCER  # type: ignore[import-not-found]  # of the tests

    from medfed.services.accounts import Identity
    from medfed.services.accounts.roles import ROLES
    from medfed.services.accounts.tokens import make_token
    from medfed.services.console import Console
    from medfed.storage.database.tables import RunRow
    from medfed.storage.database.types import now

    console = Console.open(folder, url)
    rights = frozenset(ROLES["coordinator"] + ROLES["administrator"])
    (admin,) = console.accounts.users()
    with console.database.write() as session:
        user = session.merge(admin)
        user.must_change = False
    who = Identity(id=admin.id, name="admin", rights=rights)
    study = console.studies.create(who, BREAST_CANCER.replace("= 15", "= 100000"))
    console.studies.approve(who, study.id, study.digest)
    trains = console.runs.start(who, study.id).id
    give_up = time.monotonic() + 120
    while console.runs.find(trains).round < 3:
        if time.monotonic() > give_up:
            raise SystemExit("the run that should train does not")
        time.sleep(0.2)
    followed = "followed"
    with console.database.write() as session:  # ours to write: no process is to take it
        run = session.get_one(RunRow, trains)
        columns = {c.name: getattr(run, c.name) for c in RunRow.__table__.columns}
        lease = now() + timedelta(minutes=1)
        session.add(RunRow(**{**columns, "id": followed, "fence": 1, "lease": lease}))
    token = make_token(console.database, who, "viewers", ["runs"], 1)
    return console, trains, followed, token


def measured(viewers: int, seconds: float) -> list[Row]:
    """The rows of one load."""
    import databases  # type: ignore[import-not-found]  # so too
    from integration.enrolling import free_port  # type: ignore[import-not-found]  # so too

    from medfed.core.events import Notice
    from medfed.services.console.recording import Recorder

    with (
        tempfile.TemporaryDirectory(prefix="medfed-web-") as name,
        databases.postgres_server() as server,
    ):
        folder, url, port = Path(name), f"{server}/{databases.TEMPLATE}", free_port()
        with console_on_one_core(folder, url, port):
            console, trains, followed, token = prepared(folder, url)
            recorder = Recorder(console.database, followed, 1)
            health: list[float] = []
            marks: list[str] = []
            rounds: list[int] = []

            def happen(duration: float) -> None:
                rounds.append(console.runs.find(trains).round)
                over = threading.Event()
                prober = threading.Thread(target=probe, args=(port, health, over))
                prober.start()
                until = time.monotonic() + duration
                while time.monotonic() < until:
                    marks.append(str(time.time_ns()))
                    recorder(Notice(f"t{marks[-1]}e"))
                    time.sleep(EVERY_SECONDS)
                over.set()
                prober.join()
                rounds.append(console.runs.find(trains).round)

            pages = [Viewer() for _ in range(viewers)]
            asyncio.run(watch(port, token, followed, pages, happen, seconds))
            recorder.end(lambda run: setattr(run, "state", "stopped"))
            console.runs.stop(_boss(), trains)
            _until_over(console, trains)
            console.close()
    delays = sorted(delay for page in pages for delay in page.delays)
    wrong = sum(page.seen != Counter(marks) for page in pages)
    many = f"{viewers:,} live pages on one core, {1 / EVERY_SECONDS:.0f} events a second"
    return [
        row(f"{many}: delay, 99th percentile", quantile(delays, 0.99), "ms", 500.0),
        row(f"{many}: delay, median", quantile(delays, 0.5), "ms"),
        row("/healthz meanwhile, 99th percentile", quantile(sorted(health), 0.99), "ms", 100.0),
        row("/healthz meanwhile, median", statistics.median(health), "ms"),
        row("pages that missed an event or got one twice", wrong, "pages", 0.0),
        row("rounds of the run on the same core meanwhile", rounds[1] - rounds[0], "rounds"),
    ]


def probe(port: int, found: list[float], over: threading.Event) -> None:
    """Ask for /healthz twenty times a second."""
    while not over.wait(0.05):
        found.append(healthy(port))


def quantile(ordered: list[float], share: float) -> float:
    """One of the sorted figures, so that this share is not above it."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _boss() -> Any:
    from medfed.services.accounts import Identity

    return Identity(id=1, name="admin", rights=frozenset({"run.*"}))


def _until_over(console: Any, run: str) -> None:
    give_up = time.monotonic() + 30
    while console.runs.find(run).state == "running" and time.monotonic() < give_up:
        time.sleep(0.1)


def main() -> None:
    """Print the rows."""
    given = arguments(__doc__).parse_args()
    report([*load_rows(given.quick), *upload_rows(given.quick)], as_json=given.json)


def load_rows(quick: bool) -> list[Row]:
    """Many open pages, where this machine has what it takes."""
    if not any(Path("/usr/lib/postgresql").glob("*/bin")) or not shutil.which("taskset"):
        print("Without PostgreSQL and taskset the load is left out", file=sys.stderr)
        return []
    return measured(*((100, 5.0) if quick else (1000, 20.0)))


if __name__ == "__main__":
    main()
