"""A run's sites on this machine: their folders, keys and approvals, and the channel to them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.core.errors import SiteError
from medfed.core.study import Study
from medfed.federation.channel import Channel
from medfed.federation.exchange import Post
from medfed.federation.keys import load_key, make_key
from medfed.federation.local import LocalChannel, WorkerChannel
from medfed.federation.site import Site
from medfed.services.run_options import Listener, RunOptions
from medfed.services.sites import create_site, open_site, trust
from medfed.storage.run_folder import RunFolder

HOME = "coordinator"
"""Folder of the coordinator's own key, beside the sites'."""


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
    place = options.sites or folder.path / "sites"
    folders = {site: place / site for site in study.sites}
    key = coordinator_key((options.sites or folder.path) / HOME)
    if not options.sites:
        _make_sites(study, folders, options.data, key)
    opened = {site: _opened(path, site) for site, path in folders.items()}
    post = Post(
        run=record["run"],
        study=study.digest,
        channel=_channel(folders, options),
        key=key,
        site_keys={site: found.key.public_key() for site, found in opened.items()},
        spool=folder.spool,
        deadline=study.deadline,
        min_sites=study.min_sites,
        on_event=on_event,
    )
    return post.channel, post


def coordinator_key(home: Path) -> Ed25519PrivateKey:
    """The coordinator's key in a folder; made when there is none."""
    home.mkdir(parents=True, exist_ok=True)
    return load_key(home) if (home / "key.pem").exists() else make_key(home)


def _make_sites(
    study: Study, folders: Mapping[str, Path], data: Path | None, key: Ed25519PrivateKey
) -> None:
    """Fresh sites inside the run: whoever runs the study here speaks for all of them."""
    for site, path in folders.items():
        if not (path / "key.pub").exists():
            path.mkdir(parents=True, exist_ok=True)
            (path / "site.toml").unlink(missing_ok=True)  # a crash may have left it alone
            create_site(path, site, data)
        trust(path, key.public_key())
        open_site(path).folder.approve(study)


def _opened(path: Path, site: str) -> Site:
    found = open_site(path)
    if found.name != site:
        message = f"{path} is the folder of site {found.name}"
        raise SiteError(message, remedy=f"Call the folder {found.name}, as the study does")
    return found


def _channel(folders: Mapping[str, Path], options: RunOptions) -> Channel:
    if options.workers:
        return WorkerChannel(folders, open_site, options.workers)
    return LocalChannel(folders, open_site)
