"""Tables, columns and stored values by the terms of docs/GLOSSARY.md, and when a delivery was leased."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (("outbox", "alert_notifications"), ("facts", "event_outbox"))

COLUMNS = (
    ("alert_notifications", "announcement", "notification"),
    ("event_outbox", "fact", "event"),
    ("deliveries", "epoch", "fencing_token"),
    ("deliveries_finished", "epoch", "fencing_token"),
    ("webhook_lanes", "unseen", "unevaluated"),
    ("webhook_lanes", "look_at", "evaluate_at"),
    ("webhook_baselines", "looked_at", "evaluated_at"),
    ("alerts", "moves", "transitions"),
    ("alerts", "told", "notified"),
    ("alerts", "news", "pending_notification"),
    ("rollup_progress", "level", "resolution"),
    ("rollup_progress", "folded_until", "compacted_until"),
    ("rollups_stale", "level", "resolution"),
)

INDEXES = (
    ("pk_outbox", "pk_alert_notifications"),
    ("pk_facts", "pk_event_outbox"),
    ("ix_webhook_lanes_look_at", "ix_webhook_lanes_evaluate_at"),
)

KINDS = (("widespread", "mass_failure"),)
CAUSES = (*KINDS, ("silence", "no_data"), ("tail", "latency_tail"))
ACTIONS = (("eased", "cause_cleared"), ("announced", "notified"), ("steadied", "flapping_ended"))


def upgrade() -> None:
    for old, new in TABLES:
        op.execute(f"ALTER TABLE {old} RENAME TO {new}")
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    for old, new in INDEXES:
        op.execute(f"ALTER INDEX {old} RENAME TO {new}")
    op.execute("ALTER TABLE deliveries ADD COLUMN leased_at timestamptz")
    _rename_values(KINDS, CAUSES, ACTIONS)
    # Encoded with the old names. Without them cached views expire, and live feeds start from a snapshot.
    op.execute("DELETE FROM event_outbox")


def downgrade() -> None:
    _rename_values(*(tuple((new, old) for old, new in pairs) for pairs in (KINDS, CAUSES, ACTIONS)))
    op.execute("DELETE FROM event_outbox")
    op.execute("ALTER TABLE deliveries DROP COLUMN leased_at")
    for old, new in INDEXES:
        op.execute(f"ALTER INDEX {new} RENAME TO {old}")
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
    for old, new in TABLES:
        op.execute(f"ALTER TABLE {new} RENAME TO {old}")


def _rename_values(
    kinds: tuple[tuple[str, str], ...], causes: tuple[tuple[str, str], ...], actions: tuple[tuple[str, str], ...]
) -> None:
    for old, new in kinds:
        for table in ("alerts", "silences"):
            op.execute(f"UPDATE {table} SET kind = '{new}' WHERE kind = '{old}'")
    for old, new in causes:
        op.execute(f"UPDATE anomalies SET signal = '{new}' WHERE signal = '{old}'")
        for table in ("alerts", "alert_history"):
            op.execute(
                f"UPDATE {table} SET causes = array_replace(causes, '{old}', '{new}') WHERE '{old}' = ANY(causes)"
            )
            op.execute(
                f"UPDATE {table} SET evidence = evidence - '{old}' || jsonb_build_object('{new}', evidence -> '{old}')"
                f" WHERE jsonb_exists(evidence, '{old}')"
            )
        op.execute(
            f"UPDATE webhook_baselines"
            f" SET signals = signals - '{old}' || jsonb_build_object('{new}', signals -> '{old}')"
            f" WHERE jsonb_exists(signals, '{old}')"
        )
    for old, new in actions:
        op.execute(f"UPDATE alert_history SET action = '{new}' WHERE action = '{old}'")
