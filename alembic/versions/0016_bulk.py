"""What jobs skipped, and until when they have spread the deliveries of a webhook."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN skipped uuid[] NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE webhook_lanes ADD COLUMN paced_until timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE webhook_lanes DROP COLUMN paced_until")
    op.execute("ALTER TABLE jobs DROP COLUMN skipped")
