"""The demo's other hospitals: each with a console, people and patients of its own, as any hospital.

::

    DEMO/hospitals/NAME/            the hospital's own folder
    DEMO/hospitals/NAME/console/    its console: users, models, inferences
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medfed.core.files import write_atomic
from medfed.services.accounts import Identity
from medfed.services.accounts.accounts import ADMINISTRATOR
from medfed.services.accounts.passwords import ROUNDS
from medfed.services.accounts.tokens import make_token
from medfed.services.console import Console, Faces
from medfed.services.demo_study import HOSPITALS, TEXT
from medfed.services.inference.coordinator_console import FILE, TOKEN_FILE
from medfed.services.sites import create_site

ADMIN = "admin"
ROLES = (ADMINISTRATOR, "data-steward", "clinician")
COLLEAGUES: Mapping[str, tuple[str, str, str]] = {
    "riverside": ("sofia", "Sofia Marín (synthetic)", "data-steward"),
    "hillcrest": ("amara", "Amara Nwosu (synthetic)", "clinician"),
}
"""Whom each hospital knows besides: name, full name, role."""
OTHERS = HOSPITALS[1:]
DAYS = 30


@dataclass(frozen=True, slots=True)
class House:
    """One of the other hospitals, ready to be served.

    Attributes:
        name: Its name.
        site: Its own folder.
        admin: The user `ADMIN` of its console.
        runs: The demo's runs, whose sites stand for it.
    """

    name: str
    site: Path
    admin: Identity
    runs: Path

    @property
    def console(self) -> Path:
        """The folder of its console."""
        return self.site / "console"

    @property
    def faces(self) -> Faces:
        """What its console shows."""
        return Faces(site=self.site, coordinates=False, rehearsed=self.runs)


def furnish_house(
    out: Path, name: str, password: str, *, text: str = TEXT, bcrypt_rounds: int = ROUNDS
) -> House:
    """Make what is missing of a hospital, its people, and its word on the study.

    Args:
        out: The demo's folder.
        name: The hospital.
        password: Of the user `ADMIN`, the same at each: one person looks at them all.
        text: The demo's study, which it approves as its steward would.
        bcrypt_rounds: Work factor of the passwords; tests take less.

    Raises:
        MedfedError: The folder holds something else, or cannot be written.
    """
    site = out / "hospitals" / name
    if not (site / "site.toml").exists():
        create_site(site, name, None)
    console = Console.open(
        site / "console", faces=Faces(site=site, coordinates=False), bcrypt_rounds=bcrypt_rounds
    )
    try:
        new = console.accounts.begin(ROLES[1:]) is not None
        console.accounts.reset(ADMIN, must_change=False, password=password)
        admin = console.accounts.identify(console.accounts.log_in(ADMIN, password))
        if admin is None or console.hospital is None:
            raise AssertionError("whoever has just logged in is known, and a hospital is shown")
        if new:
            colleague, full_name, role = COLLEAGUES[name]
            console.accounts.create(admin, colleague, full_name, (role,))
        take_part(console, admin, text)
        console.accounts.end_session(admin, admin.session)
    finally:
        console.close()
    return House(name, site, admin, runs_of(out))


def runs_of(out: Path) -> Path:
    """Where the runs of a demo lie: in its coordinator's console."""
    return out / "console" / "runs"


def take_part(console: Console, by: Identity, text: str) -> None:
    """Have a hospital approve the demo's study, if it has not."""
    if console.hospital is None:
        raise AssertionError("a hospital is shown")
    here = console.hospital.participation
    study = here.propose(by, text)
    if not here.find(study.digest).approved:
        here.approve(by, study.digest)


def let_ask(console: Console, by: Identity, house: House, url: str) -> None:
    """Tell a hospital where the coordinator's console answers, with a token for that alone.

    Args:
        console: The coordinator's.
        by: Who makes the token, having just logged in.
        house: The hospital.
        url: Where the coordinator's console is.
    """
    secret = make_token(console.database, by, house.name, ["recall"], DAYS)
    write_atomic(house.site / TOKEN_FILE, f"{secret}\n".encode())
    (house.site / TOKEN_FILE).chmod(0o600)
    lines = f'address = "{url}"\ntoken_file = "{TOKEN_FILE}"\n'
    write_atomic(house.site / FILE, lines.encode())
