"""Replays of deliveries."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE replays (
            id uuid CONSTRAINT pk_replays PRIMARY KEY,
            webhook_id uuid NOT NULL,
            from_at timestamptz NOT NULL,
            to_at timestamptz NOT NULL,
            states text[] NOT NULL,
            created_by text NOT NULL,
            created_at timestamptz NOT NULL,
            total integer NOT NULL,
            queued integer NOT NULL,
            cursor uuid,
            finished_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX ix_replays_running ON replays (id) WHERE finished_at IS NULL")


def downgrade() -> None:
    op.execute("DROP TABLE replays")
