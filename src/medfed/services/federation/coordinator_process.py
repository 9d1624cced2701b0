"""The coordinator's long-lived process: SuperLink, enrolment, and nginx before them.

::

    flower/           the SuperLink's database, certificates of the loopback, its log
    flower/at.json    where it listens, and whether its database is in memory
    nginx/            configuration and scratch of nginx
    activity/         what runs are doing

Whatever of it ends is started again. A run is a process of its own (`medfed run`): it goes on when
this one is killed, and waits until it is back.

A coordinator that encrypts keeps the SuperLink's database in memory, where it outlives processes,
and goes with the machine. Then orders are sent anew, as after any loss.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from medfed.core.errors import RunError, SiteError
from medfed.core.files import write_json
from medfed.core.memory_folders import kept_memory
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.app import enrolment_app
from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.enrolment.node_key import node_public_pem
from medfed.federation.enrolment.roster import EnrolledSite, enrolled_sites
from medfed.federation.guarded import Guarded
from medfed.federation.loopback_server import LoopbackServer
from medfed.federation.nginx import SUPERLINK, prepare_nginx
from medfed.federation.settings.coordinator import CoordinatorSettings, read_coordinator
from medfed.privacy.at_rest.envelope import Secret
from medfed.services.federation.alone import alone, ending_on_signals
from medfed.services.federation.attached import AT, where_it_listens
from medfed.services.federation.control import TOKEN, control_app
from medfed.services.federation.loopback import free_port, make_certificates
from medfed.services.federation.run_news import RunNews
from medfed.services.federation.short_form import prepare

if TYPE_CHECKING:
    from medfed.federation.flower.superlink import SuperLink, SuperLinkAt

KNOWN = "sites-known"
"""In a store in memory: its database knows the sites. One without it was killed before."""
EVERY = 1.0
"""Seconds between looks whether everything still runs."""
Say = Callable[[str], None]


def serve_coordinator(file: Path, overrides: Mapping[str, Any], say: Say) -> None:
    """Serve a federation until this process is told to end.

    Raises:
        SiteError: The folder or the settings are not in order.
        RunError: Something does not start.
    """
    settings = read_coordinator(file, {k: v for k, v in overrides.items() if v is not None})
    if settings.short:
        prepare(settings, settings.short, say)
        keeper = CoordinatorFolder(settings.folder)
    else:
        keeper = CoordinatorFolder(settings.folder, file)
    if not keeper.tls.exists():
        message = f"{settings.folder} is not a coordinator's folder"
        remedy = f"Make it: medfed coordinator init {settings.folder} --address {settings.address}"
        raise SiteError(message, remedy=remedy)
    for warning in keeper.warnings():
        say(f"Warning: {warning}")
    if settings.encrypt_with:
        Secret.named(settings.encrypt_with)  # now, and not when a run begins
    # From the start: one that is told to end while it begins would leave nginx to the next one.
    with alone(settings.folder, "coordinator"), ending_on_signals(), ExitStack() as stack:
        services = _Services(settings, keeper, stack, say)
        services.start()
        news = RunNews(settings.folder)
        while True:
            for sentence in news.fresh():
                say(sentence)
            time.sleep(EVERY)
            services.look()


@dataclass
class _Services:
    """What runs behind the coordinator's address."""

    settings: CoordinatorSettings
    keeper: CoordinatorFolder
    stack: ExitStack
    say: Say
    nginx: Guarded | None = None
    registered: frozenset[str] = frozenset()

    def start(self) -> None:
        """Start everything, from the inside out."""
        self.link = self._superlink()
        self.stack.callback(self.stop)
        self.link.start()
        self._register_all(self.link)
        app = enrolment_app(self.keeper, self._enrolled)
        server = self.stack.enter_context(LoopbackServer(app, self.settings.enrol_port))
        control = self.stack.enter_context(
            LoopbackServer(
                control_app(self.keeper.path, self.settings.encrypt_with),
                self.settings.control_port,
            )
        )
        self.command = prepare_nginx(self.settings, self.link.port, server.port)
        self._start_nginx()
        self.say(f"studies are taken at http://127.0.0.1:{control.port} (token: {TOKEN})")
        where = f"{self.settings.bind_host}:{self.settings.bind_port}"
        self.say(
            f"{self.settings.name} listens on {where}; sites find it at {self.settings.address}"
        )

    def look(self) -> None:
        """Start again what has ended; shut out what was removed."""
        if not self.link.alive:
            self.say("the SuperLink has ended; starting it again")
            self.link.start()
        if self.nginx is None or not self.nginx.alive:
            self.say(f"nginx has ended (its log: {self._nginx_log}); starting it again")
            self._start_nginx()
        known = frozenset(site.name for site in enrolled_sites(self.keeper.path))
        if known != self.registered:
            self._register_all(self.link)

    def stop(self) -> None:
        """End what was started."""
        if self.nginx is not None:
            self.nginx.stop()
        self.link.stop()

    def _superlink(self) -> "SuperLink":
        from medfed.federation.flower.superlink import DATABASE, SuperLink, Tls

        place, encrypts = self.keeper.path / SUPERLINK, self.settings.encrypt_with is not None
        port = self.settings.superlink_port or _kept_port(self.keeper.path) or free_port()
        tls = Tls(*make_certificates(place, Address("localhost", port)))
        store = kept_memory(str(place.resolve())) if encrypts else place
        if encrypts:
            for left in place.glob(f"{DATABASE}*"):  # messages from before
                left.unlink()
            if not ((store / KNOWN).exists() and (store / DATABASE).exists()):
                for left in store.glob(f"{DATABASE}*"):  # of one that was killed before it was
                    left.unlink()
                self._begin_anew(SuperLink(place, free_port(), tls, store=store))
                (store / KNOWN).touch()
        write_json(place / AT, {"port": port, "in_memory": encrypts})
        return SuperLink(place, port, tls, store=store)

    def _begin_anew(self, link: "SuperLink") -> None:
        """Have a store know the sites before runs find it: they take who is missing for removed.

        Raises:
            RunError: They could not be made known.
        """
        try:
            link.start()
            if not self._register_all(link):
                remedy = "Start the coordinator again"
                raise RunError("the sites could not be made known to the SuperLink", remedy=remedy)
        finally:
            link.stop()

    def _register_all(self, link: "SuperLink") -> bool:
        """Let in who has enrolled, and nobody else; whether the SuperLink was there to do so."""
        from medfed.federation.flower.superlink import Registry

        sites = enrolled_sites(self.keeper.path)
        try:
            with Registry(link.at) as registry:
                names = {site.name for site in sites}
                for name, node in registry.nodes().items():
                    if name not in names:
                        registry.remove(node.node)
                        self.say(f"{name} was removed and is shut out")
                for site in sites:
                    registry.register(site.name, node_public_pem(site.node_key))
        except httpx.HTTPError:
            return False  # at the next look
        self.registered = frozenset(names)
        return True

    def _enrolled(self, site: EnrolledSite) -> None:
        """A site has joined: let it in before it is told so."""
        from medfed.federation.flower.superlink import Registry

        with Registry(self.link.at) as registry:
            registry.register(site.name, node_public_pem(site.node_key))
        again = site.name in self.registered
        self.registered |= {site.name}
        has = "asked once more with its own keys" if again else "has joined"
        self.say(f"{site.name} {has}; compare its fingerprint: {site.fingerprint}")

    @property
    def _nginx_log(self) -> Path:
        return self.keeper.path / "nginx" / "nginx.log"

    def _start_nginx(self) -> None:
        self.nginx = Guarded(self.command, self._nginx_log)
        time.sleep(0.5)
        if not self.nginx.alive:
            tail = self._nginx_log.read_text(errors="replace").strip().splitlines()[-1:]
            raise RunError(f"nginx does not start: {' '.join(tail)}", remedy="Is the port taken?")


def superlink_at(home: Path) -> "SuperLinkAt":
    """Where the SuperLink of a coordinator's folder is.

    Raises:
        RunError: The coordinator has never run.
    """
    from medfed.federation.enrolment.certificates import CA
    from medfed.federation.flower.superlink import SuperLinkAt

    place = (home / SUPERLINK).resolve()
    port = _kept_port(home)
    if not port:
        raise RunError(
            f"no coordinator has run in {home}",
            remedy=f"Start it: medfed coordinator --config {home / 'coordinator.toml'}",
        )
    return SuperLinkAt(f"localhost:{port}", place / CA, place / "superexec.secret")


def _kept_port(home: Path) -> int:
    try:
        return int(where_it_listens(home)["port"])
    except (ValueError, LookupError, TypeError):
        return 0
