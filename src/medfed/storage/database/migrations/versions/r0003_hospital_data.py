"""Jobs and uploads of a hospital; roles that are there learn what they may do with data."""

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types
from medfed.storage.database.rights import teach_roles

revision = "0003"
down_revision = "0002"

NEW_RIGHTS = {"data-steward": ["data.*"], "clinician": ["data.read", "data.view"]}


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("options", types.Json(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("result", types.Json(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("created", types.UtcTime(), nullable=False),
        sa.Column("started", types.UtcTime(), nullable=True),
        sa.Column("ended", types.UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=1000), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("created", types.UtcTime(), nullable=False),
        sa.Column("updated", types.UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_uploads_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.UniqueConstraint("job_id", "name", name="uq_uploads_job_id_name"),
    )
    op.create_index("ix_uploads_job_id", "uploads", ["job_id"], unique=False)
    teach_roles(NEW_RIGHTS)
