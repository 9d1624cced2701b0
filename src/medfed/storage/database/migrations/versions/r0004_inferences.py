"""Models used at a hospital, their findings, the reviews of these, and who may do what."""

import json

import sqlalchemy as sa
from alembic import op

from medfed.storage.database import types

revision = "0004"
down_revision = "0003"

NEW_RIGHTS = {
    "data-steward": ["model.read", "model.admit", "inference.read"],
    "clinician": ["inference.*"],
}


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "admitted_models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("about", types.Json(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("guideline", types.Json(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("approver", sa.String(length=64), nullable=False),
        sa.Column("approved", types.UtcTime(), nullable=False),
        sa.Column("withdrawn", types.UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_admitted_models"),
        sa.UniqueConstraint("sha256", name="uq_admitted_models_sha256"),
    )
    op.create_table(
        "inferences",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("scan", sa.String(length=64), nullable=False),
        sa.Column("patient", sa.String(length=64), nullable=False),
        sa.Column("given", types.Json(), nullable=False),
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("result", types.Json(), nullable=False),
        sa.Column("starter", sa.String(length=64), nullable=False),
        sa.Column("created", types.UtcTime(), nullable=False),
        sa.Column("signer", sa.String(length=64), nullable=False),
        sa.Column("signer_name", sa.String(length=120), nullable=False),
        sa.Column("signed", types.UtcTime(), nullable=True),
        sa.Column("exported", types.Json(), nullable=False),
        sa.Column("sent", types.Json(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["admitted_models.id"], name="fk_inferences_model_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_inferences"),
    )
    op.create_index("ix_inferences_created", "inferences", ["created"], unique=False)
    op.create_index("ix_inferences_model_id", "inferences", ["model_id"], unique=False)
    op.create_index("ix_inferences_scan", "inferences", ["scan"], unique=False)
    op.create_table(
        "findings",
        sa.Column("inference_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", types.Json(), nullable=False),
        sa.ForeignKeyConstraint(
            ["inference_id"], ["inferences.id"], name="fk_findings_inference_id"
        ),
        sa.PrimaryKeyConstraint("inference_id", "number", name="pk_findings"),
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("inference_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("changes", types.Json(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.String(length=64), nullable=False),
        sa.Column("at", types.UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["inference_id"], ["inferences.id"], name="fk_reviews_inference_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_finding", "reviews", ["inference_id", "number"], unique=False)
    _teach_roles()


def _teach_roles() -> None:
    roles = sa.table("roles", sa.column("name", sa.String), sa.column("rights", sa.Text))
    connection = op.get_bind()
    for name, rights in connection.execute(sa.select(roles.c.name, roles.c.rights)).all():
        known = json.loads(rights)
        added = [right for right in NEW_RIGHTS.get(name, ()) if right not in known]
        if added:
            changed = roles.update().where(roles.c.name == name)
            connection.execute(changed.values(rights=json.dumps([*known, *added])))
