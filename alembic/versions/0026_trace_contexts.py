"""The trace that an event belongs to: its ``traceparent``, if it has one.

The column is added without a rewrite. A process of the version before neither writes nor reads it.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE events ADD COLUMN traceparent text")


def downgrade() -> None:
    op.execute("ALTER TABLE events DROP COLUMN traceparent")
