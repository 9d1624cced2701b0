"""Hospitals decide what they take part in; models that their coordinator withdrew."""

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types
from medfed.storage.database.rights import teach_roles

revision = "0007"
down_revision = "0006"

NEW_RIGHTS = {
    "data-steward": ["participation.*", "receipt.read"],
    "clinician": ["participation.read"],
    "viewer": ["participation.read"],
}


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column(
        "admitted_models", sa.Column("recall", types.Json(), server_default="{}", nullable=False)
    )
    teach_roles(NEW_RIGHTS)
