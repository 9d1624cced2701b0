"""Who asks, and about what."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, or a program with a person's token, at the time of one request.

    Attributes:
        id: The user's number; 0 for nobody.
        name: What they log in with.
        full_name: What they are called.
        roles: Names of their roles.
        rights: What those roles may do, see `medfed.services.accounts.roles`.
        scopes: What the token is limited to; None for a person in a browser.
        session: Number of the session; 0 for a token.
        must_change: The password was set by somebody else and must be changed first.
        language: In which they read pages; empty while they have chosen none.
        address: Where the request came from, for the record.
    """

    id: int = 0
    name: str = ""
    full_name: str = ""
    roles: tuple[str, ...] = ()
    rights: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None
    session: int = 0
    must_change: bool = False
    language: str = field(default="", compare=False)
    address: str = field(default="", compare=False)

    @property
    def known(self) -> bool:
        """Whether this is anybody."""
        return self.id > 0


NOBODY = Identity()


@dataclass(frozen=True, slots=True)
class Subject:
    """What an act is upon.

    Attributes:
        name: For the record, such as ``study 3``.
        owner: Name of the user whose it is; None where it is nobody's or not yet known.
    """

    name: str = ""
    owner: str | None = None


ANYTHING = Subject()
