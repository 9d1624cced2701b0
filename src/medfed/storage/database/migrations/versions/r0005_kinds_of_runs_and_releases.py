"""Runs have a kind and an engine; models are approved for hospitals, or withdrawn."""

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types
from medfed.storage.database.rights import teach_roles

revision = "0005"
down_revision = "0004"

NEW_RIGHTS = {"coordinator": ["site.*", "settings.read"], "data-steward": ["model.withdraw"]}


def upgrade() -> None:
    """Bring the tables to this revision."""
    for name, length, value in (("kind", 20, "study"), ("engine", 20, "local")):
        op.add_column(
            "runs", sa.Column(name, sa.String(length=length), server_default=value, nullable=False)
        )
    op.add_column("runs", sa.Column("options", types.Json(), server_default="{}", nullable=False))
    op.add_column("models", sa.Column("withdrawn", types.UtcTime(), nullable=True))
    op.add_column(
        "models",
        sa.Column("withdrawn_by", sa.String(length=64), server_default="", nullable=False),
    )
    op.add_column("models", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "releases",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("at", types.UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_releases_model_id"),
        sa.PrimaryKeyConstraint("model_id", "site", name="pk_releases"),
    )
    teach_roles(NEW_RIGHTS)
