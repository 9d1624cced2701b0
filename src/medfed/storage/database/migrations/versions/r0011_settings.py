"""What administrators may set while the console runs, and the right to do so."""

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types
from medfed.storage.database.rights import teach_roles

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "settings",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", types.Json(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    teach_roles({"administrator": ["settings.change"]})
