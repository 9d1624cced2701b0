"""What a role of somebody's own is for, in their words."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Bring the tables to this revision."""
    about = sa.Column("about", sa.String(length=200), nullable=False, server_default="")
    op.add_column("roles", about)
