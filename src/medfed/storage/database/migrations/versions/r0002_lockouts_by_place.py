"""Wrong passwords are counted by name and place; what was counted before is forgotten."""

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.drop_table("lockouts")
    op.create_table(
        "lockouts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last", types.UtcTime(), nullable=False),
        sa.Column("until", types.UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", "place", name="pk_lockouts"),
    )
