"""A run over a federation that is up: its sites are elsewhere, and known by their enrolment."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.core.errors import MedfedError, RunError, SiteError
from medfed.core.events import Event, Notice, ReplyComing
from medfed.core.study import Study
from medfed.federation.channel import Channel
from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.enrolment.roster import enrolled_sites
from medfed.federation.nginx import SUPERLINK
from medfed.services.federation.activity import ActivityFile

MEMO = "flower-run"
"""File in the run's folder with the number of its conversation at the SuperLink."""


AT = "at.json"
"""File beside the SuperLink that says where it listens, and whether it keeps messages in memory."""


def where_it_listens(home: Path) -> dict[str, Any]:
    """What a coordinator wrote of its SuperLink; empty where it has never run."""
    try:
        return dict(json.loads((home / SUPERLINK / AT).read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def check_encrypted(home: Path) -> None:
    """Complain about an encrypted run whose messages a federation would keep as they are.

    Raises:
        RunError: Its SuperLink keeps them on the disk.
    """
    if where_it_listens(home).get("in_memory") is not True:
        message = "this federation's SuperLink keeps messages on disk, which would not be encrypted"
        remedy = (
            "Write encrypt_with into coordinator.toml, and start the coordinator again; a run that "
            "was begun goes on with --resume"
        )
        raise RunError(message, remedy=remedy)


def open_attached(
    study: Study,
    home: Path,
    place: Path,
    on_event: Callable[[Event], None],
    *,
    encrypted: bool = False,
) -> Channel:
    """A channel to the sites of a federation.

    Args:
        study: The study.
        home: The folder of the coordinator, whose process runs on this machine.
        place: The run's folder.
        on_event: Told what happens on the way.
        encrypted: Whether the run is: a coordinator that was started again without encrypt_with
            gets no message of it.

    Raises:
        SiteError: A site of the study has not enrolled.
        RunError: The coordinator is not running.
    """
    from medfed.federation.flower.channel import FlowerChannel
    from medfed.services.federation.coordinator_process import superlink_at

    at = superlink_at(home)
    check = partial(check_encrypted, home) if encrypted else _anything
    return FlowerChannel(at, study.sites, place / MEMO, *told_of(on_event), check=check)


def _anything() -> None:
    """An open run may be anywhere."""


def told_of(
    on_event: Callable[[Event], None],
) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """What a channel is given to tell of what happens, and of replies that are on their way."""
    return lambda text: on_event(Notice(text)), lambda site: on_event(ReplyComing(site))


def enrolled_keys(study: Study, home: Path) -> dict[str, Ed25519PublicKey]:
    """The keys that the study's sites sign with.

    Raises:
        SiteError: One has not enrolled.
    """
    known = {site.name: site for site in enrolled_sites(home)}
    missing = [name for name in study.sites if name not in known]
    if missing:
        raise SiteError(
            f"not enrolled with this coordinator: {', '.join(missing)}",
            remedy=f"Invite them: medfed coordinator invite {home} SITE; or correct the study",
        )
    return {name: known[name].public_key for name in study.sites}


@contextmanager
def told(
    home: Path, run: str, place: Path, on_event: Callable[[Event], None]
) -> Iterator[Callable[[Event], None]]:
    """Keep the coordinator's activity file of a run up to date; gives who is to be told instead."""
    CoordinatorFolder(home).settings()  # else the file would have nowhere to be
    file = ActivityFile(home, run, place)

    def tell(event: Event) -> None:
        file(event)
        on_event(event)

    try:
        yield tell
    except MedfedError as error:
        file.ended(f"stopped: {error.message}")
        raise
    except BaseException:
        file.ended("stopped")
        raise
