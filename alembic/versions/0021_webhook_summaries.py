"""What lists of webhooks are filtered and sorted by, one row for each, kept by triggers.

Triggers, so that processes of the version before keep it true, too. Each writes what its table knows, and adds to
counts of alerts instead of setting them: two transactions on one webhook lose nothing. Status and order are generated.

Adding a trigger locks its table for a moment; the rows are made in the same transaction.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

RANK = """
    CASE WHEN critical > 0 AND (NOT enabled OR paused) THEN 2
         WHEN NOT enabled THEN 13
         WHEN paused THEN 7
         ELSE CASE
             WHEN health_status = 'unavailable' THEN 0
             WHEN health_status = 'degraded' OR critical > 0 OR warning > 0 THEN 2
             WHEN health_status = 'throttled' THEN 4
             WHEN health_status = 'unknown' THEN 8
             ELSE 10
         END + CASE WHEN critical > 0 THEN 0 ELSE 1 END
    END
"""

STATUS = """
    CASE WHEN NOT enabled THEN 'disabled'
         WHEN paused THEN 'paused'
         WHEN health_status NOT IN ('unavailable', 'degraded') AND (critical > 0 OR warning > 0) THEN 'degraded'
         ELSE health_status
    END
"""

TABLE = f"""
CREATE TABLE webhook_summaries (
    webhook_id uuid PRIMARY KEY REFERENCES webhooks ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    enabled boolean NOT NULL,
    paused boolean NOT NULL,
    health_status text NOT NULL DEFAULT 'unknown',
    failure_probability double precision NOT NULL DEFAULT 0.05,
    critical integer NOT NULL DEFAULT 0,
    warning integer NOT NULL DEFAULT 0,
    info integer NOT NULL DEFAULT 0,
    attempts double precision NOT NULL DEFAULT 0,
    failure_ratio double precision NOT NULL DEFAULT -1,
    p95_ms double precision NOT NULL DEFAULT -1,
    waiting double precision NOT NULL DEFAULT 0,
    status text NOT NULL GENERATED ALWAYS AS ({STATUS}) STORED,
    urgency double precision NOT NULL GENERATED ALWAYS AS ({RANK} - failure_probability) STORED
)
"""

PROGRESS = """
CREATE TABLE summary_progress (
    id smallint PRIMARY KEY, after uuid NOT NULL, round_at timestamptz NOT NULL, stepped_at timestamptz NOT NULL
)
"""

INDEXES = ("urgency", "name", "attempts", "failure_ratio", "p95_ms", "waiting")

SUMMARIZE_WEBHOOK = """
CREATE FUNCTION summarize_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        DELETE FROM webhook_summaries WHERE webhook_id = NEW.id;
        RETURN NULL;
    END IF;
    INSERT INTO webhook_summaries (webhook_id, name, enabled, paused)
    VALUES (NEW.id, left(lower(NEW.name), 64), NEW.enabled, NEW.paused_at IS NOT NULL)
    ON CONFLICT (webhook_id) DO UPDATE SET name = excluded.name, enabled = excluded.enabled, paused = excluded.paused;
    RETURN NULL;
END $$
"""

SUMMARIZE_HEALTH = """
CREATE FUNCTION summarize_health() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_summaries
    SET health_status = NEW.health_status, failure_probability = NEW.failure_probability
    WHERE webhook_id = NEW.webhook_id;
    RETURN NULL;
END $$
"""

SUMMARIZE_ALERT = """
CREATE FUNCTION summarize_alert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := CASE WHEN TG_OP <> 'INSERT' AND OLD.state <> 'resolved' THEN OLD.severity END;
    is_now text := CASE WHEN TG_OP <> 'DELETE' AND NEW.state <> 'resolved' THEN NEW.severity END;
BEGIN
    IF was IS DISTINCT FROM is_now THEN
        UPDATE webhook_summaries SET
            critical = critical + (is_now IS NOT DISTINCT FROM 'critical')::int
                - (was IS NOT DISTINCT FROM 'critical')::int,
            warning = warning + (is_now IS NOT DISTINCT FROM 'warning')::int
                - (was IS NOT DISTINCT FROM 'warning')::int,
            info = info + (is_now IS NOT DISTINCT FROM 'info')::int - (was IS NOT DISTINCT FROM 'info')::int
        WHERE webhook_id = CASE WHEN TG_OP = 'DELETE' THEN OLD.webhook_id ELSE NEW.webhook_id END;
    END IF;
    RETURN NULL;
END $$
"""

TRIGGERS = {
    "summarize ON webhooks": "AFTER INSERT OR UPDATE OF name, enabled, paused_at, deleted_at ON webhooks"
    " FOR EACH ROW EXECUTE FUNCTION summarize_webhook()",
    "summarize_added ON webhook_lanes": "AFTER INSERT ON webhook_lanes"
    " FOR EACH ROW EXECUTE FUNCTION summarize_health()",
    # Of the settles, only those that change the status.
    "summarize ON webhook_lanes": "AFTER UPDATE ON webhook_lanes FOR EACH ROW"
    " WHEN (OLD.health_status IS DISTINCT FROM NEW.health_status) EXECUTE FUNCTION summarize_health()",
    "summarize ON alerts": "AFTER INSERT OR UPDATE OF state, severity OR DELETE ON alerts"
    " FOR EACH ROW EXECUTE FUNCTION summarize_alert()",
}

FILL = """
INSERT INTO webhook_summaries
    (webhook_id, name, enabled, paused, health_status, failure_probability, critical, warning, info)
SELECT w.id, left(lower(w.name), 64), w.enabled, w.paused_at IS NOT NULL, l.health_status, l.failure_probability,
    coalesce(a.critical, 0), coalesce(a.warning, 0), coalesce(a.info, 0)
FROM webhooks w JOIN webhook_lanes l ON l.webhook_id = w.id LEFT JOIN (
    SELECT webhook_id, count(*) FILTER (WHERE severity = 'critical') AS critical,
        count(*) FILTER (WHERE severity = 'warning') AS warning, count(*) FILTER (WHERE severity = 'info') AS info
    FROM alerts WHERE state <> 'resolved' GROUP BY webhook_id
) AS a ON a.webhook_id = w.id
WHERE w.deleted_at IS NULL
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(PROGRESS)
    for column in INDEXES:
        op.execute(f"CREATE INDEX ix_webhook_summaries_{column} ON webhook_summaries ({column}, webhook_id)")
    op.execute("CREATE INDEX ix_webhook_summaries_status ON webhook_summaries (status, urgency, webhook_id)")
    for function in (SUMMARIZE_WEBHOOK, SUMMARIZE_HEALTH, SUMMARIZE_ALERT):
        op.execute(function)
    for name, rest in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name.split()[0]} {rest}")
    op.execute(FILL)


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    for function in ("summarize_webhook", "summarize_health", "summarize_alert"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP TABLE summary_progress")
    op.execute("DROP TABLE webhook_summaries")
