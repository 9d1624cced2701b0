"""What every test has at hand: real data, Debian packages, quiet and repeatable libraries."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from system_packages import COMMAND, is_installed, read_list

if TYPE_CHECKING:
    from medfed.storage.database import Database

# Before anything imports them: one thread each, or the workers of a run fight for the cores, and
# sums differ in their last bits from one machine to the next.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
# Where a test wants several all the same, those that wait for each other leave the cores to others.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["MPLBACKEND"] = "Agg"
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

# Found here once, not in every test's own cache folder.
os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))

# A shell that starts the tests in the background has them ignore Ctrl-C, and so all they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MEDFED_DATA") or ROOT.parent / "shared" / "data")

# No test asserts times: a busy machine is no failure.
settings.register_profile(
    "medfed",
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("medfed")


def under_ci() -> bool:
    """Whether nobody watches, so that a skip would hide something."""
    return os.environ.get("CI") == "true"


def demand_package(name: str) -> None:
    """Skip the running test where a Debian package is missing; under CI=true, fail it."""
    if name not in read_list():
        pytest.fail(f"{name} is not in scripts/system-packages.txt", pytrace=False)
    if is_installed(name):
        return
    reason = f"the Debian package {name} is missing; to install it: {COMMAND}"
    if under_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Act on @pytest.mark.needs_package("name")."""
    for mark in item.iter_markers("needs_package"):
        demand_package(*mark.args)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold the longest tests: one that begins last is waited for alone.

    A file stays together, since its tests may share what takes long to set up.
    """
    first = {item.path for item in items if item.get_closest_marker("longest")}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets; its README says where each came from.

    A test that reads one set asks for it with `need`, below.
    """
    if not DATA.is_dir():
        pytest.skip(f"no real data: {DATA} is not there (MEDFED_DATA names another folder)")
    return DATA.resolve()


@pytest.fixture
def need(data_dir: Path):
    """Call it with a path below the data folder; it skips where that is absent."""

    def find(relative: str) -> Path:
        path = data_dir / relative
        if not path.exists():
            pytest.skip(f"no real data: {relative} is not in {data_dir}")
        return path

    return find


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of whoever runs it, nor writes into their home folder."""
    for name in [name for name in os.environ if name.startswith("MEDFED_")]:
        monkeypatch.delenv(name)
    # Commands take a thread for each core, and the tests beside them as well: many times as slow.
    monkeypatch.setenv("MEDFED_THREADS", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ".local"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that lives as long as the tests."""
    import databases

    demand_package("postgresql")
    with databases.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def _empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in a file with its tables made, to be copied for each test."""
    import databases

    file = tmp_path_factory.mktemp("database") / "console.sqlite"
    with databases.opened(f"sqlite:///{file}"):
        pass
    return file


@pytest.fixture
def sqlite_url(_empty_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a fresh database in a file."""
    return f"sqlite:///{shutil.copy(_empty_sqlite, tmp_path)}"


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """The console's database with its tables, in a file."""
    import databases

    with databases.opened(sqlite_url, upgrade=False) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The console's database with its tables: in a file, then in a real PostgreSQL."""
    import databases

    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    server = request.getfixturevalue("postgres")
    with (
        databases.postgres_database(server) as url,
        databases.opened(url, upgrade=False) as database,
    ):
        yield database
