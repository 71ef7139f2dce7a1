"""Anomalies, alerts, silences, and what is to be told."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE webhooks ADD COLUMN body_format text NOT NULL DEFAULT 'standard';

ALTER TABLE webhook_lanes ADD COLUMN unseen bytea, ADD COLUMN look_at timestamptz;
UPDATE webhook_lanes SET look_at = now();
CREATE INDEX ix_webhook_lanes_look_at ON webhook_lanes (look_at);

CREATE TABLE webhook_baselines (
    webhook_id uuid CONSTRAINT pk_webhook_baselines PRIMARY KEY
        CONSTRAINT fk_webhook_baselines_webhook_id_webhooks REFERENCES webhooks (id) ON DELETE CASCADE,
    baselines bytea NOT NULL,
    looked_at timestamptz NOT NULL,
    signals jsonb NOT NULL,
    normal jsonb NOT NULL
);

CREATE TABLE anomalies (
    id uuid CONSTRAINT pk_anomalies PRIMARY KEY,
    webhook_id uuid NOT NULL,
    signal text NOT NULL,
    severity text NOT NULL,
    sentence text NOT NULL,
    evidence jsonb NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz
);
CREATE UNIQUE INDEX ux_anomalies_open ON anomalies (webhook_id, signal) WHERE closed_at IS NULL;
CREATE INDEX ix_anomalies_webhook_id ON anomalies (webhook_id, id);

CREATE TABLE alerts (
    id uuid CONSTRAINT pk_alerts PRIMARY KEY,
    webhook_id uuid NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL,
    state text NOT NULL,
    title text NOT NULL,
    count integer NOT NULL,
    causes text[] NOT NULL,
    evidence jsonb NOT NULL,
    raised_at timestamptz NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text,
    ack_expires_at timestamptz,
    first_acknowledged_at timestamptz,
    note text,
    resolved_at timestamptz,
    resolved_by text,
    moves timestamptz[] NOT NULL,
    flapping boolean NOT NULL,
    told boolean NOT NULL,
    news boolean NOT NULL,
    version integer NOT NULL
);
CREATE UNIQUE INDEX ux_alerts_open ON alerts (webhook_id, kind) WHERE state <> 'resolved';
CREATE INDEX ix_alerts_webhook_id ON alerts (webhook_id, id);
CREATE INDEX ix_alerts_raised_at ON alerts (raised_at);
CREATE INDEX ix_alerts_resolved_at ON alerts (resolved_at) WHERE state = 'resolved';

CREATE TABLE alert_history (
    alert_id uuid NOT NULL CONSTRAINT fk_alert_history_alert_id_alerts REFERENCES alerts (id) ON DELETE CASCADE,
    version integer NOT NULL,
    at timestamptz NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    note text,
    severity text,
    title text,
    causes text[],
    evidence jsonb,
    expires_at timestamptz,
    CONSTRAINT pk_alert_history PRIMARY KEY (alert_id, version)
);

CREATE TABLE silences (
    id uuid CONSTRAINT pk_silences PRIMARY KEY,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    reason text NOT NULL,
    ends_at timestamptz NOT NULL,
    webhook_id uuid,
    label text,
    kind text
);
CREATE INDEX ix_silences_ends_at ON silences (ends_at);

CREATE TABLE outbox (
    id uuid CONSTRAINT pk_outbox PRIMARY KEY,
    announcement bytea NOT NULL
);

CREATE TABLE facts (
    id uuid CONSTRAINT pk_facts PRIMARY KEY,
    fact bytea NOT NULL
);
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE facts, outbox, silences, alert_history, alerts, anomalies, webhook_baselines")
    op.execute("ALTER TABLE webhook_lanes DROP COLUMN look_at, DROP COLUMN unseen")
    op.execute("ALTER TABLE webhooks DROP COLUMN body_format")
