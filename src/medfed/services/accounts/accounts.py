"""Users and their sessions: made, changed, ended."""

import re
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from medfed.core.errors import AccessError
from medfed.services.accounts import login
from medfed.services.accounts.identity import Identity, Subject
from medfed.services.accounts.passwords import Passwords, check_strength, generate
from medfed.services.accounts.rights import covers, require
from medfed.services.accounts.roles import ROLES, ensure_roles
from medfed.services.audit import plain, record
from medfed.services.preferences import LANGUAGES, preferences
from medfed.storage.database import Database
from medfed.storage.database.engine import one_at_a_time
from medfed.storage.database.tables import LockoutRow, RoleRow, SessionRow, TokenRow, UserRow
from medfed.storage.database.types import now

USER_NAME = re.compile(r"[a-z][a-z0-9._-]{1,63}")
RESERVED = frozenset({"new", "roles", "system", "nobody"})
"""Names with a page of their own where users' pages are, and such that the record uses."""
ADMINISTRATOR = "administrator"
SYSTEM = Identity(name="system")


class NoSuchUser(AccessError):
    """Nobody is called so."""


class Accounts:
    """The people of one console.

    Args:
        database: Where they are kept.
        passwords: How their passwords are checked.
    """

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self.database = database
        self.passwords = passwords

    # --- the first start --------------------------------------------------------------------------

    def begin(self, roles: Sequence[str] = ("coordinator",)) -> str | None:
        """Make the roles and, where there is no user, the first: an administrator.

        Args:
            roles: What else the first user is.

        Returns:
            The random password to be printed once; None where there are users.
        """
        ensure_roles(self.database)
        with self.database.read() as session:
            if session.scalar(select(UserRow.id).limit(1)) is not None:
                return None
        password = generate()
        hashed = self.passwords.hash(password)
        with self.database.write() as session:
            one_at_a_time(session, "administrators")
            if session.scalar(select(UserRow.id).limit(1)) is not None:
                return None
            given = roles_of(session, (ADMINISTRATOR, *roles))
            user = UserRow(name="admin", password=hashed, must_change=True, roles=given)
            session.add(user)
            record(session, SYSTEM, "user.manage", "user admin", reason="the first administrator")
        return password

    def reset(
        self, name: str, *, must_change: bool = True, password: str = "", by: Identity = SYSTEM
    ) -> str:
        """Give a user a new random password, to be changed at once; for who has the machine.

        Args:
            name: The user.
            must_change: Whether it is to be changed at once.
            password: Instead of a random one.
            by: Whom the record names.

        Raises:
            AccessError: There is no such user.
        """
        given = password or generate()
        self._set_password(by, self.find(name), given, must_change=must_change)
        return given

    # --- users ------------------------------------------------------------------------------------

    def users(self) -> Sequence[UserRow]:
        """All users by name."""
        with self.database.read() as session:
            return session.scalars(select(UserRow).order_by(UserRow.name)).all()

    def roles(self) -> Sequence[RoleRow]:
        """All roles: those that this program ships first, then the others by name."""
        with self.database.read() as session:
            rows = session.scalars(select(RoleRow)).all()
        return sorted(rows, key=lambda row: (row.name not in ROLES, row.name.casefold()))

    def find(self, name: str) -> UserRow:
        """A user by name.

        Raises:
            NoSuchUser: There is none.
        """
        with self.database.read() as session:
            user = session.scalar(select(UserRow).where(UserRow.name == name))
        if user is None:
            raise NoSuchUser("there is no such user", remedy="Look at the list of users")
        return user

    def create(
        self, by: Identity, name: str, full_name: str, roles: Sequence[str]
    ) -> tuple[UserRow, str]:
        """Make a user with a random password, which they change when they log in first.

        Returns:
            The user, and the password to be shown once.

        Raises:
            AccessError: ``by`` may not or must confirm first, or the name is taken or impossible.
        """
        name = name.strip().lower()
        self._require_manager(by, name)
        if not USER_NAME.fullmatch(name) or name in RESERVED:
            raise AccessError(
                "this cannot be a user name",
                remedy="Use 2 to 64 small letters, digits, dots and hyphens; begin with a letter",
            )
        password = generate()
        hashed = self.passwords.hash(password)
        try:
            with self.database.write() as session:
                one_at_a_time(session, "administrators")  # no role goes away meanwhile
                user = UserRow(
                    name=name,
                    full_name=plain(full_name.strip(), 120),
                    password=hashed,
                    must_change=True,
                    roles=roles_of(session, roles),
                )
                session.add(user)
                record(session, by, "user.manage", f"user {name}", reason="created")
        except IntegrityError:
            raise AccessError(
                "there is a user of this name", remedy="Choose another name"
            ) from None
        return user, password

    def change(
        self, by: Identity, name: str, *, full_name: str, roles: Sequence[str], active: bool
    ) -> None:
        """Change a user's name, roles, or whether they may log in.

        Raises:
            AccessError: ``by`` may not or must confirm first, or the last administrator would go.
        """
        self._require_manager(by, name)
        number = self.find(name).id
        with self.database.write() as session:
            one_at_a_time(session, "administrators")
            user = session.get_one(UserRow, number)
            user.full_name = plain(full_name.strip(), 120)
            user.roles = roles_of(session, roles)
            user.active = active
            session.flush()
            keep_an_administrator(session)
            if not active:
                _end_sessions(session, user.id)
            named = ", ".join(sorted(roles)) or "none"
            what = f"roles: {named}; active" if active else f"roles: {named}; barred"
            record(session, by, "user.manage", f"user {name}", reason=what)

    def new_password(self, by: Identity, name: str) -> str:
        """Give a user a new random password, and end their sessions and tokens.

        Raises:
            AccessError: ``by`` may not or must confirm first.
        """
        self._require_manager(by, name)
        password = generate()
        self._set_password(by, self.find(name), password, must_change=True)
        return password

    def change_password(self, by: Identity, old: str, new: str) -> None:
        """Change one's own password; ends all other sessions and all tokens.

        Raises:
            AccessError: The old one is wrong, or the new one is not good enough.
        """
        user = self.confirm_password(by, old)
        check_strength(new, by.name)
        if new == old:
            raise AccessError("the new password is the old one", remedy="Choose another")
        self._set_password(by, user, new, must_change=False, keep=by.session)

    def read_in(self, by: Identity, language: str) -> None:
        """Keep in which language a person reads; it is theirs alone, and no act to record.

        Raises:
            AccessError: There is no such language.
        """
        if language not in LANGUAGES:
            raise AccessError("there is no such language", remedy="Choose one that there is")
        with self.database.write() as session:
            session.get_one(UserRow, by.id).language = language

    def _require_manager(self, by: Identity, name: str) -> None:
        login.require_confirmed(self.database, by, "user.manage", Subject(f"user {name}"))

    def _set_password(
        self, by: Identity, user: UserRow, password: str, *, must_change: bool, keep: int = 0
    ) -> None:
        if not user.password:
            message = "the password of this user is kept elsewhere"
            raise AccessError(message, remedy="Change it at the identity provider")
        hashed = self.passwords.hash(password)
        with self.database.write() as session:
            again = session.get_one(UserRow, user.id)
            again.password = hashed
            again.must_change = must_change
            session.execute(delete(LockoutRow).where(LockoutRow.name == user.name))
            _end_sessions(session, user.id, keep)
            record(session, by, "user.manage", f"user {user.name}", reason="new password")

    # --- sessions ---------------------------------------------------------------------------------

    def log_in(self, name: str, password: str, *, address: str = "", agent: str = "") -> str:
        """Begin a session; see `medfed.services.accounts.login.log_in`."""
        return login.log_in(
            self.database, self.passwords, name, password, address=address, agent=agent
        )

    def identify(self, secret: str, address: str = "") -> Identity | None:
        """Whose session it is; see `medfed.services.accounts.login.identify`."""
        return login.identify(self.database, secret, address)

    def confirm_password(self, by: Identity, password: str) -> UserRow:
        """Have a person show again that they are who they are.

        Raises:
            AccessError: The password is wrong.
        """
        user = login.check_password(
            self.database,
            self.passwords,
            by.name,
            password,
            address=by.address,
            session=by.session,
        )
        with self.database.write() as session:
            if row := session.get(SessionRow, by.session):
                row.confirmed = now()
        return user

    def confirmed(self, by: Identity) -> bool:
        """Whether the person of a session gave their password lately."""
        return login.confirmed(self.database, by)

    def sessions(self, user: Identity | None = None) -> Sequence[SessionRow]:
        """The sessions that count, of one user or of all, the latest first."""
        query = select(SessionRow).order_by(SessionRow.seen.desc())
        limits = preferences(self.database)
        query = query.where(
            SessionRow.seen > now() - limits.unused, SessionRow.created > now() - limits.longest
        )
        if user is not None:
            query = query.where(SessionRow.user_id == user.id)
        with self.database.read() as session:
            return session.scalars(query).all()

    def end_session(self, by: Identity, number: int) -> None:
        """End a session; whoever has its cookie is logged out.

        Raises:
            AccessError: It is another's, and ``by`` may not.
        """
        with self.database.read() as session:
            row = session.get(SessionRow, number)
        if row is None:
            return
        require(self.database, by, "session.revoke", Subject(f"session {number}", row.user.name))
        with self.database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.id == number))
            record(session, by, "session.revoke", f"session {number} of {row.user.name}")


def roles_of(session: Session, names: Sequence[str]) -> list[RoleRow]:
    """The roles of these names.

    Raises:
        AccessError: There is none of one of them.
    """
    rows = list(session.scalars(select(RoleRow).where(RoleRow.name.in_(names))))
    unknown = sorted(set(names) - {row.name for row in rows})
    if unknown:
        raise AccessError(f"there is no role {unknown[0]!r}", remedy="Choose one that there is")
    return rows


def _end_sessions(session: Session, user: int, keep: int = 0) -> None:
    """Whoever knew the old password may have made tokens: those go with the sessions."""
    session.execute(delete(TokenRow).where(TokenRow.user_id == user))
    session.execute(delete(SessionRow).where(SessionRow.user_id == user, SessionRow.id != keep))


def manages(role: RoleRow) -> bool:
    """Whether whoever has a role may create and change users."""
    return covers(role.rights, "user.manage")


def managers(session: Session) -> list[UserRow]:
    """The users who may create and change users."""
    active = session.scalars(select(UserRow).where(UserRow.active))
    return [user for user in active if any(map(manages, user.roles))]


def keep_an_administrator(session: Session) -> None:
    """Refuse what would leave a console without anybody who makes users.

    Raises:
        AccessError: It would.
    """
    if not managers(session):
        raise AccessError(
            "nobody would be left who may create and change users",
            remedy="Make another user administrator first",
        )
