"""A run's sites on this machine: their folders, keys and approvals, and the channel to them."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from medfed.core.aggregator import Seated
from medfed.core.errors import RunError, SiteError
from medfed.core.events import Notice
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.federation.channel import Channel
from medfed.federation.exchange import Post
from medfed.federation.keys import PUBLIC, load_key, load_public, make_key
from medfed.federation.local import LocalChannel, WorkerChannel
from medfed.federation.peers import pin
from medfed.federation.site import Site
from medfed.services.run_options import Listener, RunOptions
from medfed.services.sites import create_site, open_site, trust
from medfed.storage.run_folder import RunFolder

HOME = "coordinator"
"""Folder of the coordinator's own key, beside the sites'."""


def check_engine(options: RunOptions) -> None:
    """Complain about an engine that cannot be had, before anything is made.

    Raises:
        RunError: Options contradict each other, or a package is missing.
    """
    if options.engine != "local" and options.workers:
        message = f"--workers divides the local engine; {options.engine} has its own processes"
        raise RunError(message, remedy="Leave out --workers or --engine")
    if options.engine != "ray" and (options.cluster, options.cpus, options.gpus) != (None,) * 3:
        message = "--cluster, --cpus and --gpus speak of a Ray cluster"
        raise RunError(message, remedy="Add --engine ray, or leave them out")
    if options.engine != "flower" and options.coordinator:
        message = "--coordinator speaks of a federation between machines"
        raise RunError(message, remedy="Add --engine flower, or leave it out")
    if options.coordinator and (options.sites or options.data):
        message = "the sites of a federation have folders and data of their own"
        raise RunError(message, remedy="Leave out --sites and --data, or --coordinator")
    for engine, package in (("ray", "ray"), ("flower", "flwr")):
        if options.engine == engine and find_spec(package) is None:
            message = f"the package {package} is not installed"
            raise RunError(message, remedy=f"Install it: pip install 'medfed[{engine}]'")
    if options.coordinator and options.encrypt_with:
        from medfed.services.federation.attached import check_encrypted  # an extra

        check_encrypted(options.coordinator)


def open_sites(
    study: Study,
    folder: RunFolder,
    options: RunOptions,
    record: Mapping[str, Any],
    on_event: Listener,
) -> tuple[Channel, Post]:
    """Open the sites, and say who asks them.

    Raises:
        SiteError: A site's folder is not in order, or is another site's.
    """
    if options.coordinator:
        return _attached(study, folder, options.coordinator, record, on_event)
    place = options.sites or folder.path / "sites"
    folders = {site: place / site for site in study.sites}
    key = coordinator_key((options.sites or folder.path) / HOME)
    if not options.sites:
        _make_sites(study, folders, options, key)
    opened = {site: _opened(path, site) for site, path in folders.items()}
    keys = {site: found.key.public_key() for site, found in opened.items()}
    channel = _channel(folders, options, folder.path, record["execution"], on_event)
    return channel, _post(study, folder, record, channel, key, keys, on_event)


def _attached(
    study: Study,
    folder: RunFolder,
    home: Path,
    record: Mapping[str, Any],
    on_event: Listener,
) -> tuple[Channel, Post]:
    """The sites of a federation that is up, and its coordinator's key."""
    from medfed.services.federation.attached import (  # an extra
        check_encrypted,
        enrolled_keys,
        open_attached,
    )

    if folder.vault.sealed:  # once more: it goes on, and the coordinator may be another by now
        check_encrypted(home)
    key, keys = load_key(home), enrolled_keys(study, home)
    channel = open_attached(study, home, folder.path, on_event, encrypted=folder.vault.sealed)
    return channel, _post(study, folder, record, channel, key, keys, on_event)


def _post(
    study: Study,
    folder: RunFolder,
    record: Mapping[str, Any],
    channel: Channel,
    key: Ed25519PrivateKey,
    site_keys: Mapping[str, Ed25519PublicKey],
    on_event: Listener,
) -> Post:
    return Post(
        run=record["run"],
        study=study.digest,
        channel=channel,
        key=key,
        site_keys=site_keys,
        spool=folder.spool,
        deadline=study.deadline,
        min_sites=study.min_sites,
        on_event=on_event,
        vault=folder.vault,
    )


def coordinator_key(home: Path) -> Ed25519PrivateKey:
    """The coordinator's key in a folder; made when there is none."""
    home.mkdir(parents=True, exist_ok=True)
    return load_key(home) if (home / "key.pem").exists() else make_key(home)


def _make_sites(
    study: Study, folders: Mapping[str, Path], options: RunOptions, key: Ed25519PrivateKey
) -> None:
    """Fresh sites inside the run: whoever runs the study here speaks for all of them."""
    for site, path in folders.items():
        if not (path / "key.pub").exists():
            path.mkdir(parents=True, exist_ok=True)
            (path / "site.toml").unlink(missing_ok=True)  # a crash may have left it alone
            book = options.ledgers / site if options.ledgers else None
            create_site(path, site, options.data, encrypt_with=options.encrypt_with, ledger=book)
        trust(path, key.public_key())
        open_site(path).folder.approve(study)
    if isinstance(make("aggregator", study.aggregator), Seated):
        known = {site: load_public(path / PUBLIC) for site, path in folders.items()}
        for path in folders.values():
            pin(path, known)


def _opened(path: Path, site: str) -> Site:
    found = open_site(path)
    if found.name != site:
        message = f"{path} is the folder of site {found.name}"
        raise SiteError(message, remedy=f"Call the folder {found.name}, as the study does")
    return found


def _channel(
    folders: Mapping[str, Path],
    options: RunOptions,
    place: Path,
    execution: Mapping[str, Any],
    on_event: Listener,
) -> Channel:
    """What carries the messages of this run."""
    if options.engine == "flower":
        from medfed.services.federation.loopback import open_loopback  # an extra, and slow

        in_memory = options.encrypt_with is not None
        return open_loopback(folders, place / "flower", on_event, in_memory=in_memory)
    if options.engine == "ray":
        return _ray(folders, options, execution, on_event)
    if options.engine != "local":
        raise RunError(f"there is no engine {options.engine}", remedy="Choose local or ray")
    if options.workers:
        return WorkerChannel(folders, open_site, options.workers)
    return LocalChannel(folders, open_site)


def _ray(
    folders: Mapping[str, Path],
    options: RunOptions,
    execution: Mapping[str, Any],
    on_event: Listener,
) -> Channel:
    from medfed.federation.ray_channel import RayChannel  # an extra; and its import takes a second

    cuda = execution["device"] != "cpu"
    if options.gpus and not cuda:
        message = "this run computes on the CPU, and would leave the --gpus idle"
        remedy = "Leave out --gpus; or, if the study can use them, begin a run on a node with one"
        raise RunError(message, remedy=remedy)
    if not options.cluster:
        on_event(Notice("starting Ray on this machine; this takes a few seconds"))
    return RayChannel(
        folders,
        open_site,
        cluster=options.cluster,
        cpus=options.cpus,
        gpus=options.gpus,
        threads=execution["threads"],
        cuda=cuda,
        sealed=options.encrypt_with is not None,
    )
