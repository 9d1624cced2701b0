"""Acts have names of their own; people of an identity provider are known by its number for them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("audit") as audit:
        audit.add_column(sa.Column("key", sa.String(length=32), nullable=True))
        audit.create_unique_constraint("uq_audit_key", ["key"])
    op.create_table(
        "outsiders",
        sa.Column("issuer", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_outsiders_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_outsiders"),
        sa.UniqueConstraint("user_id", name="uq_outsiders_user_id"),
    )
