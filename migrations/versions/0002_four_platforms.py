"""four platforms

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-23 22:22:04.216228
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('deletion_requests',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('platform', sa.String(), nullable=False),
    sa.Column('code', sa.String(), nullable=False),
    sa.Column('remote_user_hash', sa.String(), nullable=False),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_deletion_requests')),
    sa.UniqueConstraint('code', name=op.f('uq_deletion_requests_code'))
    )
    with op.batch_alter_table('channels', schema=None) as batch_op:
        batch_op.add_column(sa.Column('access_token_encrypted', sa.String(), nullable=True))
        batch_op.add_column(sa.Column('details', sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column('posting', sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True))
        batch_op.add_column(sa.Column('posting_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(batch_op.f('ix_channels_platform_remote_id'), ['platform', 'remote_id'], unique=False)

    with op.batch_alter_table('connections', schema=None) as batch_op:
        batch_op.add_column(sa.Column('login', sa.String(), nullable=False, server_default=''))

    with op.batch_alter_table('credentials', schema=None) as batch_op:
        batch_op.add_column(sa.Column('remote_user_id', sa.String(), nullable=True))
        batch_op.add_column(sa.Column('end_told_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(batch_op.f('ix_credentials_platform_remote_user_id'), ['platform', 'remote_user_id'], unique=False)

    with op.batch_alter_table('steps', schema=None) as batch_op:
        batch_op.add_column(sa.Column('retries', sa.Integer(), nullable=False, server_default='0'))

    with op.batch_alter_table('targets', schema=None) as batch_op:
        batch_op.add_column(sa.Column('stats', sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True))
        batch_op.add_column(sa.Column('stats_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(batch_op.f('ix_targets_platform_due_at'), ['platform', 'due_at'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('targets', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_targets_platform_due_at'))
        batch_op.drop_column('stats_at')
        batch_op.drop_column('stats')

    with op.batch_alter_table('steps', schema=None) as batch_op:
        batch_op.drop_column('retries')

    with op.batch_alter_table('credentials', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_credentials_platform_remote_user_id'))
        batch_op.drop_column('end_told_at')
        batch_op.drop_column('remote_user_id')

    with op.batch_alter_table('connections', schema=None) as batch_op:
        batch_op.drop_column('login')

    with op.batch_alter_table('channels', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_channels_platform_remote_id'))
        batch_op.drop_column('posting_at')
        batch_op.drop_column('posting')
        batch_op.drop_column('details')
        batch_op.drop_column('access_token_encrypted')

    op.drop_table('deletion_requests')