"""Connected to a Ray cluster: one of our own on this machine, or somebody's."""

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import ray
from ray import _raylet
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray.exceptions import RayError

from medfed.core.errors import RunError

log = logging.getLogger(__name__)

REACH = 5.0
"""Seconds within which a cluster's address must answer."""
LONGEST_TEMP = 24
"""Characters of the temporary folder: Ray makes sockets below it, whose names must stay short."""
FAILURES = (RayError, OSError, RuntimeError, ValueError)
"""What Ray raises when it cannot start or join."""


@contextmanager
def connection(cluster: str | None) -> Iterator[None]:
    """Connected to a cluster; everything is as before afterwards."""
    if ray.is_initialized():  # the caller's own, theirs to end
        _expect(cluster)
        yield
        return
    joined = _started() if cluster is None else _joined(cluster)
    with _own_signals() as take, _silence():
        take()  # starting takes seconds too
        with joined:
            take()
            yield


def _expect(cluster: str | None) -> None:
    """Complain if the cluster this process is connected to is another than the one asked for."""
    here = ray.get_runtime_context().gcs_address
    if cluster not in (None, "auto", here):
        raise RunError(
            f"this process is connected to the Ray cluster at {here}, not to {cluster}",
            remedy="Call ray.shutdown() first, or give no address to use the one it has",
        )


@contextmanager
def _started() -> Iterator[None]:
    """A cluster on this machine, for as long as it lasts."""
    with _behind_a_token(), short_folder() as temp:
        try:
            _init(address="local", include_dashboard=False, _temp_dir=temp)
        except FAILURES as error:
            message = f"Ray does not start on this machine: {last_line(error)}"
            remedy = "Run without it (--engine local) to the very same model"
            raise RunError(message, remedy=remedy) from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _joined(cluster: str) -> Iterator[None]:
    """Joined to somebody's cluster."""
    reach(cluster)
    try:
        _init(address=cluster)
    except FAILURES as error:
        raise RunError(
            f"the Ray cluster at {cluster} does not let us in: {last_line(error)}",
            remedy="Start medfed on one of its nodes, with its versions of Python and Ray and with "
            "its token if it asks for one; then go on with --resume",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Ray prints a paragraph about each lost actor on standard output, where results belong."""
    inside: Any = ray_worker
    before = inside.print_to_stdstream
    inside.print_to_stdstream = lambda data, **_: log.debug("ray: %s", data)
    try:
        yield
    finally:
        inside.print_to_stdstream = before


def _init(**options: Any) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tips about future versions, files it leaves open
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except BaseException:
        ray.shutdown()  # whatever had been started
        raise


def reach(cluster: str) -> None:
    """Complain at once about an address where nobody is: Ray itself would wait for a minute."""
    if cluster == "auto":
        return
    host, _, port = cluster.rpartition(":")
    if "://" in cluster or not host or not port.isdigit():
        raise RunError(
            f"{cluster!r} is not a cluster's address",
            remedy="Give HOST:PORT as `ray start --head` prints it, or auto on a node of a cluster",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"there is no Ray cluster at {cluster}: {error}",
            remedy="Start one with `ray start --head`, or mend --cluster; then go on with --resume",
        ) from None


@contextmanager
def _behind_a_token() -> Iterator[None]:
    """A cluster started in here is reached from this machine only, and by nobody else on it.

    Ray on Linux listens on every interface, and asks nobody who they are. It has a switch for the
    one (made for desktop systems) and a token for the other, and reads both once per process.
    """
    before, names = dict(os.environ), ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    open_to_all = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
    os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    _read_settings_again()
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = open_to_all
        for name in names:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in names if name in before})
        _read_settings_again()


def _read_settings_again() -> None:
    inside: Any = _raylet  # Ray's own tests do it so; its version is pinned exactly
    inside.AuthenticationTokenLoader.instance().reset_cache()
    inside.Config.initialize("")


@contextmanager
def short_folder() -> Iterator[str]:
    """A temporary folder whose name leaves room for the names of Ray's sockets."""
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= LONGEST_TEMP else "/tmp"  # noqa: S108  # mkdtemp makes it ours
    folder = tempfile.mkdtemp(prefix="mf-", dir=place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_signals() -> Iterator[Callable[[], None]]:
    """Ray puts loud handlers of its own on SIGTERM: call the result to end in order instead."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)
    plain = before in (signal.SIG_DFL, None)

    def take() -> None:
        signal.signal(signal.SIGTERM, _leave if plain else before)

    try:
        yield take
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if plain else before)


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def last_line(error: BaseException) -> str:
    """What matters of a complaint of Ray's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
