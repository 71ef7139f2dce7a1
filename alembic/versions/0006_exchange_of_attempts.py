"""What each attempt sent and was answered."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a default, so that no row is rewritten.
    op.execute("ALTER TABLE attempts ADD COLUMN exchange json")


def downgrade() -> None:
    op.execute("ALTER TABLE attempts DROP COLUMN exchange")
