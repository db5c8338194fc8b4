"""stored answers that hold secrets are sealed

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-24 00:15:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("idempotency_keys") as table:
        table.add_column(sa.Column("body_encrypted", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("idempotency_keys") as table:
        table.drop_column("body_encrypted")
