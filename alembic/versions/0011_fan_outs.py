"""Fan-outs that workers carry on after the events were accepted."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE fan_outs (
            id uuid CONSTRAINT pk_fan_outs PRIMARY KEY,
            event_ids uuid[] NOT NULL,
            except_webhook_ids uuid[] NOT NULL,
            event_types text[] NOT NULL,
            accepted_at timestamptz NOT NULL,
            stepped_at timestamptz NOT NULL,
            after uuid,
            done integer NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX ix_fan_outs_stepped_at ON fan_outs (stepped_at, id)")


def downgrade() -> None:
    op.execute("DROP TABLE fan_outs")
