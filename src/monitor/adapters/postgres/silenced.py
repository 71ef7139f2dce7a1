"""What silences do to a webhook now, in SQL: ``s`` is a silence, ``w`` a webhook, ``o`` an occurrence.

The rules of ``domain.alerts.silences``; the contract suites prove that both are equal.
"""

from __future__ import annotations

OCCURRENCES = """
unnest(coalesce(s.window_starts, ARRAY[coalesce(s.starts_at, s.created_at)]), coalesce(s.window_ends, ARRAY[s.ends_at]))
    AS o (starts_at, ends_at)
"""

ACTIVE = f"""
EXISTS (SELECT FROM {OCCURRENCES} WHERE o.starts_at <= now() AND now() < least(o.ends_at, s.ends_at))
"""

LABELLED = """
(s.label IS NULL OR (w.labels ? split_part(s.label, '=', 1)
 AND (position('=' IN s.label) = 0
      OR w.labels ->> split_part(s.label, '=', 1) = substr(s.label, position('=' IN s.label) + 1))))
"""

_COVERS = f"(s.webhook_id IS NULL OR s.webhook_id = w.id) AND {LABELLED}"

HELD_UNTIL = f"""
(SELECT max(least(o.ends_at, s.ends_at)) FROM silences s CROSS JOIN LATERAL {OCCURRENCES}
 WHERE s.hold_deliveries AND s.ends_at > now() AND o.starts_at <= now() AND o.ends_at > now() AND {_COVERS})
"""
"""Until when deliveries of ``w`` are held, null for not."""

HOLD_ENDED_AT = f"""
(SELECT max(least(o.ends_at, s.ends_at)) FROM silences s CROSS JOIN LATERAL {OCCURRENCES}
 WHERE s.hold_deliveries AND s.ends_at > now() - interval '1 day' AND least(o.ends_at, s.ends_at) <= now()
   AND o.starts_at < least(o.ends_at, s.ends_at) AND {_COVERS})
"""
"""When the latest hold of ``w`` ended that is over; null for none within the last day, or the last of its series."""

UNCOUNTED = f"""
EXISTS (SELECT FROM silences s
        WHERE s.ends_at > now() AND (s.kind IS NULL OR s.kind = 'failing') AND {ACTIVE} AND {_COVERS})
"""
"""Whether attempts of ``w`` are left out of its uptime."""
