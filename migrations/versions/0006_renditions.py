"""renditions: how a picture is to fit, how far a conversion is

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-27 06:40:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def json() -> sa.types.TypeEngine:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("posts") as table:
        table.add_column(sa.Column("fit", json(), nullable=True))
    with op.batch_alter_table("targets") as table:
        table.add_column(sa.Column("fit", json(), nullable=True))
        table.add_column(sa.Column("rendition_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_targets_rendition_id",
        "targets",
        ["rendition_id"],
        postgresql_where=sa.text("rendition_id IS NOT NULL"),
        sqlite_where=sa.text("rendition_id IS NOT NULL"),
    )
    with op.batch_alter_table("renditions") as table:
        table.add_column(sa.Column("progress", sa.Double(), nullable=False, server_default="0"))
        table.add_column(sa.Column("remaining_seconds", sa.Double(), nullable=True))
        table.add_column(sa.Column("retries", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("renditions") as table:
        table.drop_column("retries")
        table.drop_column("remaining_seconds")
        table.drop_column("progress")
    op.drop_index("ix_targets_rendition_id", table_name="targets")
    with op.batch_alter_table("targets") as table:
        table.drop_column("rendition_id")
        table.drop_column("fit")
    with op.batch_alter_table("posts") as table:
        table.drop_column("fit")
