"""What is refused again within a minute is counted in one row of the record."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column("audit", sa.Column("times", sa.Integer(), server_default="1", nullable=False))
