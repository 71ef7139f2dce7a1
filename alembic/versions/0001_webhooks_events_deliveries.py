"""Webhooks, events, deliveries, attempts and their rollups."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE webhooks (
    id uuid CONSTRAINT pk_webhooks PRIMARY KEY,
    name text NOT NULL,
    url text NOT NULL,
    description text NOT NULL,
    event_types text[] NOT NULL,
    labels jsonb NOT NULL,
    header_names text[] NOT NULL,
    headers_sealed bytea,
    enabled boolean NOT NULL,
    disabled_reason text,
    paused_at timestamptz,
    timeout_s double precision NOT NULL,
    retry jsonb NOT NULL,
    max_concurrency integer NOT NULL,
    rate_limit jsonb,
    ordered boolean NOT NULL,
    signature text NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX ix_webhooks_event_types ON webhooks USING gin (event_types);
CREATE INDEX ix_webhooks_labels ON webhooks USING gin (labels);

CREATE TABLE webhook_secrets (
    id uuid CONSTRAINT pk_webhook_secrets PRIMARY KEY,
    webhook_id uuid NOT NULL
        CONSTRAINT fk_webhook_secrets_webhook_id_webhooks REFERENCES webhooks (id) ON DELETE CASCADE,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz
);
CREATE INDEX ix_webhook_secrets_webhook_id ON webhook_secrets (webhook_id);

CREATE TABLE webhook_lanes (
    webhook_id uuid CONSTRAINT pk_webhook_lanes PRIMARY KEY
        CONSTRAINT fk_webhook_lanes_webhook_id_webhooks REFERENCES webhooks (id) ON DELETE CASCADE,
    recent text[] NOT NULL,
    last_attempt_at timestamptz,
    failing_since timestamptz,
    health_status text NOT NULL,
    health_reason text NOT NULL,
    failure_probability double precision NOT NULL,
    health_changed_at timestamptz,
    breaker_state text NOT NULL,
    breaker_until timestamptz,
    breaker_trips integer NOT NULL,
    breaker_since integer NOT NULL,
    tokens double precision,
    tokens_at timestamptz
) WITH (fillfactor = 70);

CREATE TABLE events (
    id uuid CONSTRAINT pk_events PRIMARY KEY,
    type text NOT NULL,
    payload bytea NOT NULL,
    labels jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX ix_events_type_id ON events (type, id);
CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE TABLE deliveries (
    id uuid CONSTRAINT pk_deliveries PRIMARY KEY,
    event_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    leased_by text,
    epoch integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    last_status_code smallint,
    last_error text
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX ix_deliveries_due ON deliveries (webhook_id, due_at);
CREATE INDEX ix_deliveries_webhook_id ON deliveries (webhook_id, id);
CREATE INDEX ix_deliveries_event ON deliveries (event_id);
CREATE INDEX ix_deliveries_leased ON deliveries (webhook_id) WHERE leased_by IS NOT NULL;
CREATE INDEX ix_deliveries_error ON deliveries (last_error, id) WHERE last_error IS NOT NULL;

CREATE TABLE deliveries_finished (
    id uuid CONSTRAINT pk_deliveries_finished PRIMARY KEY,
    event_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    epoch integer NOT NULL,
    last_status_code smallint,
    last_error text,
    finished_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX ix_deliveries_finished_webhook_id ON deliveries_finished (webhook_id, id);
CREATE INDEX ix_deliveries_finished_event ON deliveries_finished (event_id);
CREATE INDEX ix_deliveries_finished_state ON deliveries_finished (state, id) WHERE state <> 'delivered';
CREATE INDEX ix_deliveries_finished_error ON deliveries_finished (last_error, id) WHERE last_error IS NOT NULL;
CREATE TABLE deliveries_finished_default PARTITION OF deliveries_finished DEFAULT;

CREATE TABLE attempts (
    webhook_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    delivery_id uuid,
    event_id uuid,
    event_type text,
    number integer NOT NULL,
    status_code smallint,
    error text,
    error_detail text,
    latency_ms double precision NOT NULL,
    dns_ms real,
    connect_ms real,
    tls_ms real,
    first_byte_ms real,
    response_body bytea,
    CONSTRAINT pk_attempts PRIMARY KEY (webhook_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX ix_attempts_delivery ON attempts (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

CREATE TABLE rollups_minute (
    webhook_id uuid NOT NULL,
    bucket_at timestamptz NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    latency_sum_ms double precision NOT NULL,
    errors jsonb NOT NULL,
    CONSTRAINT pk_rollups_minute PRIMARY KEY (webhook_id, bucket_at)
) PARTITION BY RANGE (bucket_at);
CREATE TABLE rollups_minute_default PARTITION OF rollups_minute DEFAULT;

CREATE TABLE histograms_minute (
    webhook_id uuid NOT NULL,
    bucket_at timestamptz NOT NULL,
    indexes smallint[] NOT NULL,
    counts integer[] NOT NULL,
    CONSTRAINT pk_histograms_minute PRIMARY KEY (webhook_id, bucket_at)
) PARTITION BY RANGE (bucket_at);
CREATE TABLE histograms_minute_default PARTITION OF histograms_minute DEFAULT;

CREATE TABLE idempotency_keys (
    scope text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    answer_sealed bytea,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (scope, key)
);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE audit_log (
    id uuid CONSTRAINT pk_audit_log PRIMARY KEY,
    at timestamptz NOT NULL,
    subject text NOT NULL,
    role text,
    request_id text,
    action text NOT NULL,
    target text NOT NULL,
    before jsonb,
    after jsonb
);

CREATE TABLE revoked_tokens (
    jti text CONSTRAINT pk_revoked_tokens PRIMARY KEY,
    revoked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DROP TABLE revoked_tokens, audit_log, idempotency_keys, histograms_minute, rollups_minute, attempts,"
        " deliveries_finished, deliveries, events, webhook_lanes, webhook_secrets, webhooks"
    )
