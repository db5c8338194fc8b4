"""uploads in pieces, from a browser or from an address

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-27 06:40:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("uploads") as table:
        table.add_column(sa.Column("state", sa.String(), nullable=False, server_default="receiving"))
        table.add_column(sa.Column("title", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("description", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("source", JSON, nullable=False, server_default="{}"))
        table.add_column(sa.Column("url_encrypted", sa.String(), nullable=True))
        table.add_column(sa.Column("error", JSON, nullable=True))
    with op.batch_alter_table("uploads") as table:
        for name in ("state", "title", "description", "source"):
            table.alter_column(name, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("uploads") as table:
        for name in ("error", "url_encrypted", "source", "description", "title", "state"):
            table.drop_column(name)
