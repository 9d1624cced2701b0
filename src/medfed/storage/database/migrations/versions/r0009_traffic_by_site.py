"""What each hospital sent and was sent, and how its change lay to that of all."""

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types

revision = "0009"
down_revision = "0007"


def upgrade() -> None:
    """Bring the tables to this revision."""
    for name in ("site_up", "site_down", "site_change"):
        op.add_column("rounds", sa.Column(name, types.Json(), server_default="{}", nullable=False))
    for name in ("bytes_up", "bytes_down"):
        column = sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
        op.add_column("sites", column)
