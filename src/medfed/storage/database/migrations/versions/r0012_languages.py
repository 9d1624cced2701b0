"""In which language a person reads, and what a card needs to be told in it."""

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column(
        "users", sa.Column("language", sa.String(length=16), server_default="", nullable=False)
    )
    op.add_column(
        "admitted_models",
        sa.Column("card_data", types.Json(), server_default="{}", nullable=False),
    )
