"""Other processes of Monitor on the same database, which need a Redis in common."""

from __future__ import annotations

import structlog

from monitor.adapters.postgres.engine import Database
from monitor.domain.errors import Unavailable

OTHERS = """
SELECT count(DISTINCT application_name) AS processes FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'monitor %'
    AND application_name <> current_setting('application_name')
"""

log = structlog.get_logger(__name__)


async def warn_of_missing_redis(database: Database) -> int:
    """
    Log ``redis_missing`` if other processes have sessions on *database*; return their number. To be called in a process
    without a Redis: its cache, rate limits and live feed show nothing of what the others do. An outage is passed over.
    """
    try:
        row = await database.fetchrow(OTHERS, reserved=True)
    except Unavailable:
        return 0  # Its own loops report that the database is away.
    others = int(row["processes"]) if row is not None else 0
    if others:
        log.warning("redis_missing", other_processes=others, setting="MONITOR_REDIS_URL")
    return others
