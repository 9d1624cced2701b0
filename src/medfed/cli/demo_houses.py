"""The consoles of the demo's other hospitals, beside the coordinator's in one process."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from medfed.cli.serving import served
from medfed.services.demo_hospitals import OTHERS, House, furnish_house, let_ask
from medfed.services.demo_study import HOSPITALS
from medfed.services.neighbours import Neighbour

if TYPE_CHECKING:
    from medfed.services.console import Console
    from medfed.services.demo_console import Furnished


class Answering(Protocol):
    """A console that is served, as `medfed.cli.serving.served` gives it."""

    port: int
    console: "Console"

    def introduce(self, neighbours: Sequence[Neighbour]) -> None:
        """Have its pages lead to other consoles."""


@dataclass(frozen=True, slots=True)
class Served:
    """A hospital whose console answers.

    Attributes:
        house: The hospital.
        url: Where.
        console: What is served.
    """

    house: House
    url: str
    console: "Console"

    @property
    def name(self) -> str:
        """The hospital's name."""
        return self.house.name


@contextmanager
def houses_served(
    out: Path, made: "Furnished", coordinator: Answering
) -> Iterator[Sequence[Served]]:
    """Serve the other hospitals, and have all pages lead to each other.

    Args:
        out: The demo's folder.
        made: The coordinator's console and the first hospital.
        coordinator: That console, being served.
    """
    home = f"http://127.0.0.1:{coordinator.port}"
    with ExitStack() as stack:
        found: list[Served] = []
        servers: list[Answering] = [coordinator]
        for name in OTHERS:
            house = furnish_house(out, name, made.password)
            accounts = coordinator.console.accounts
            admin = accounts.identify(accounts.log_in("admin", made.password))
            if admin is None:
                raise AssertionError("whoever has just logged in is known")
            let_ask(coordinator.console, admin, house, home)
            accounts.end_session(admin, admin.session)
            server = stack.enter_context(served(house.console, house.faces, 0, {}))
            servers.append(server)
            found.append(Served(house, f"http://127.0.0.1:{server.port}", server.console))
        names = [(HOSPITALS[0], home), *((each.name, each.url) for each in found)]
        for at, each in enumerate(servers):
            each.introduce(
                [
                    Neighbour(name, "" if place == at else url, coordinates=place == 0)
                    for place, (name, url) in enumerate(names)
                ]
            )
        yield found
