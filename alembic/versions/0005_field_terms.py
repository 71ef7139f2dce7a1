"""Tables, columns and stored values by the terms of docs/GLOSSARY.md, and when a delivery was leased."""

from typing import Any

import msgspec
import sqlalchemy as sa
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

BASELINE_MEMBERS = {
    "alarm": "deviation",
    "answers": "responses",
    "calm_since": "normal_since",
    "days": "hours_of_day",
    "follows": "continuation",
    "follows_at": "continuation_at",
    "guessed_from": "initial_responses",
    "hours_seen": "hours_learned",
    "per_s": "expected_per_s",
    "share": "proportion",
    "silence": "no_data",
    "silence_at": "no_data_at",
    "slow_log": "log_threshold",
    "so_far": "attempts_this_hour",
    "spread_from": "dispersion_from",
    "spreads": "dispersions",
    "suspect_since": "excess_since",
    "suspected_at": "excess_at",
    "tail": "latency_tail",
    "waiting_peaks": "recent_peaks",
    "weeks": "hours_of_week",
    "whole": "is_hour_complete",
    "wobbles": "dispersions",
}


def upgrade() -> None:
    for old, new in TABLES:
        op.execute(f"ALTER TABLE {old} RENAME TO {new}")
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    for old, new in INDEXES:
        op.execute(f"ALTER INDEX {old} RENAME TO {new}")
    op.execute("ALTER TABLE deliveries ADD COLUMN leased_at timestamptz")
    _rename_values(KINDS, CAUSES, ACTIONS)
    for webhook_id, stored in (
        op.get_bind().execute(sa.text("SELECT webhook_id, baselines FROM webhook_baselines")).all()
    ):
        op.get_bind().execute(
            sa.text("UPDATE webhook_baselines SET baselines = :baselines WHERE webhook_id = :webhook_id"),
            {"webhook_id": webhook_id, "baselines": renamed_baselines(stored)},
        )
    # Encoded with the old names. Without them cached views expire, and live feeds start from a snapshot.
    op.execute("DELETE FROM event_outbox")


def downgrade() -> None:
    _rename_values(*(tuple((new, old) for old, new in pairs) for pairs in (KINDS, CAUSES, ACTIONS)))
    op.execute("DELETE FROM event_outbox")
    op.execute("ALTER TABLE deliveries DROP COLUMN leased_at")
    # The version before cannot read them and would start over all the same.
    op.execute("DELETE FROM webhook_baselines")
    for old, new in INDEXES:
        op.execute(f"ALTER INDEX {new} RENAME TO {old}")
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
    for old, new in TABLES:
        op.execute(f"ALTER TABLE {new} RENAME TO {old}")


def renamed_baselines(stored: bytes) -> bytes:
    """Return a webhook's baselines, as MessagePack, with the new names of their members."""
    baselines = _renamed(msgspec.msgpack.decode(stored))
    # The profile of the traffic has a member of this name, too, which it keeps.
    baselines["latency"]["log_latency"] = baselines["latency"].pop("level")
    return msgspec.msgpack.encode(baselines)


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if isinstance(value, dict):
        return {BASELINE_MEMBERS.get(name, name): _renamed(item) for name, item in value.items()}
    return value


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
