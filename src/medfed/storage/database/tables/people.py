"""Users, their roles, sessions and tokens."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column, relationship

from medfed.storage.database.tables.base import Base
from medfed.storage.database.types import Json, UtcTime, now

user_roles = Table(
    "user_roles",
    Base.metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", ForeignKey("roles.name"), primary_key=True),
)


class RoleRow(Base):
    """A role: a name and the rights that come with it.

    Attributes:
        about: What it is for, as who made it says; empty for those that this program ships.
    """

    __tablename__ = "roles"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    about: Mapped[str] = mapped_column(String(200), default="")
    rights: Mapped[list[str]] = mapped_column(Json)


class UserRow(Base):
    """A person who may log in.

    Attributes:
        must_change: The password was set by somebody else.
        language: In which they read pages; empty while they have chosen none.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    full_name: Mapped[str] = mapped_column(String(120), default="")
    password: Mapped[str] = mapped_column(String(100))
    active: Mapped[bool] = mapped_column(default=True)
    must_change: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    last_login: Mapped[datetime | None] = mapped_column(UtcTime)
    language: Mapped[str] = mapped_column(String(16), default="")
    roles: Mapped[list[RoleRow]] = relationship(secondary=user_roles, lazy="selectin")


class OutsiderRow(Base):
    """A user whose password is kept elsewhere: by an identity provider, under a name for life."""

    __tablename__ = "outsiders"

    issuer: Mapped[str] = mapped_column(String(200), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)


class LockoutRow(Base):
    """Wrong passwords for a name, whether or not anybody is called so.

    Attributes:
        place: Where they came from: a network, a session, or empty for all together.
    """

    __tablename__ = "lockouts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    place: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    last: Mapped[datetime] = mapped_column(UtcTime, default=now)
    until: Mapped[datetime | None] = mapped_column(UtcTime)


class SessionRow(Base):
    """One log-in of a person; without its row a cookie is worth nothing."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    seen: Mapped[datetime] = mapped_column(UtcTime, default=now)
    confirmed: Mapped[datetime] = mapped_column(UtcTime, default=now)
    address: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(200), default="")
    user: Mapped[UserRow] = relationship(lazy="joined")


class TokenRow(Base):
    """A secret for programs; only its hash is kept."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(Json)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    expires: Mapped[datetime] = mapped_column(UtcTime)
    used: Mapped[datetime | None] = mapped_column(UtcTime)
    user: Mapped[UserRow] = relationship(lazy="joined")
