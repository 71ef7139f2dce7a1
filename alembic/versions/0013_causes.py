"""What opened a breaker, when Monitor disabled a webhook, and the probes that enable it again."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = {
    "webhook_lanes": {"breaker_cause": "text", "breaker_cause_at": "timestamptz"},
    "webhooks": {
        "disabled_at": "timestamptz",
        "reenable": "text NOT NULL DEFAULT 'never'",
        "probe_at": "timestamptz",
        "probes": "integer NOT NULL DEFAULT 0",
    },
}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"ADD COLUMN {name} {type_}" for name, type_ in columns.items()))
    op.execute("CREATE INDEX ix_webhooks_probe_at ON webhooks (probe_at) WHERE probe_at IS NOT NULL")


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN {name}" for name in columns))
