"""${message}."""

import sqlalchemy as sa
from alembic import op
from medfed.storage.database import types

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Bring the tables to this revision."""
    ${upgrades if upgrades else "pass"}
