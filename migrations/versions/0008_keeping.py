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


# -- files: where thumbnails lie, what an upload holds of a workspace's storage, and who may have how much


def add_file_columns() -> None:
    with op.batch_alter_table("videos") as batch:
        batch.add_column(sa.Column("thumbnail_backend", sa.String(), nullable=True))
        batch.add_column(sa.Column("thumbnail_bytes", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("thumbnail_wanted", sa.Double(), nullable=True))
        batch.add_column(sa.Column("thumbnail_at", sa.Double(), nullable=True))
        batch.add_column(sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE videos SET thumbnail_backend = backend WHERE thumbnail_key IS NOT NULL")
    op.execute("UPDATE videos SET archived_at = updated_at WHERE state = 'archived'")
    with op.batch_alter_table("uploads") as batch:
        batch.add_column(sa.Column("reserved_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("uploads") as batch:
        batch.alter_column("reserved_bytes", server_default=None)
    with op.batch_alter_table("workspaces") as batch:
        batch.add_column(sa.Column("storage_limit_bytes", sa.BigInteger(), nullable=True))


def drop_file_columns() -> None:
    for table, columns in (
        ("workspaces", ("storage_limit_bytes",)),
        ("uploads", ("reserved_bytes",)),
        ("videos", ("archived_at", "thumbnail_at", "thumbnail_wanted", "thumbnail_bytes", "thumbnail_backend")),
    ):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column)


# -- the timetable


def create_chores() -> None:
    op.create_table(
        "chores",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chores")),
        sa.UniqueConstraint("name", name=op.f("uq_chores_name")),
    )
    where = sa.text("next_at IS NOT NULL")
    op.create_index("ix_chores_work", "chores", ["next_at"], postgresql_where=where, sqlite_where=where)


# -- all of it


def upgrade() -> None:
    add_file_columns()
    create_chores()
    index_lists()


def downgrade() -> None:
    unindex_lists()
    op.drop_table("chores")
    drop_file_columns()
