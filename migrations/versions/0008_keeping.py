"""what is kept, for how long, and whose

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-27 06:40:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


# -- lists that stay flat however many rows there are: an index for each filter, in the list's order

LISTS = {
    "ix_targets_workspace_id_state_due_at_id": ("targets", "workspace_id", "state", "due_at", "id"),
    "ix_targets_channel_id_state_due_at_id": ("targets", "channel_id", "state", "due_at", "id"),
    "ix_videos_workspace_id_state_id": ("videos", "workspace_id", "state", "id"),
    "ix_deliveries_webhook_id_state_id": ("deliveries", "webhook_id", "state", "id"),
}
CUT_OFF = sa.text("hold = 'reconnect'")


def index_lists() -> None:
    for name, (table, *columns) in LISTS.items():
        op.create_index(name, table, columns)
    op.create_index(
        "ix_targets_cut_off",
        "targets",
        ["workspace_id", "due_at", "id"],
        postgresql_where=CUT_OFF,
        sqlite_where=CUT_OFF,
    )


def unindex_lists() -> None:
    op.drop_index("ix_targets_cut_off", "targets")
    for name, (table, *_) in LISTS.items():
        op.drop_index(name, table)


# -- all of it


def upgrade() -> None:
    index_lists()


def downgrade() -> None:
    unindex_lists()
