"""What the turns of messages about alerts read beside a large backlog."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitor.adapters.postgres.turns import MADE, REPLACE, RESUME, WAIT
from monitor.bootstrap.container import Container
from monitor.domain.delivery.order import REPLACED_MAX, alert_key
from tests import samples
from tests.integration.support import sql
from tests.integration.test_order_cost import an_event, rows_read

BACKLOG = 50_000
READ_MAX = 10 * REPLACED_MAX
"""A few rows for each that may be replaced, and far below the backlog."""

# Half of the messages are about one alert, each of the others about one of its own.
FILL = """
INSERT INTO deliveries (id, event_id, webhook_id, due_at, order_key)
SELECT uuidv7.id, uuidv7.id, $1, now() - interval '1 minute',
    CASE WHEN n % 2 = 0 THEN $2 ELSE $2 || n::text END
FROM generate_series(1, $3::int) AS n, LATERAL (
    SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000000000000000')::uuid AS id) AS uuidv7
"""


@pytest.mark.parametrize("analyzed", [False, True], ids=["before the statistics know", "analyzed"])
async def test_a_turn_reads_a_bounded_number_of_rows(parts: Container, analyzed: bool) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock)
    event_id = await an_event(parts)
    key = alert_key(event_id)
    async with sql(parts) as connection:
        await connection.execute(FILL, made.id, key, BACKLOG)
        if analyzed:
            await connection.execute("ANALYZE deliveries")
        newest = await connection.fetchval(
            "SELECT id FROM deliveries WHERE order_key = $1 ORDER BY id DESC LIMIT 1", key
        )
        line = ([made.id], [key])
        assert await rows_read(connection, REPLACE, *line, [newest]) <= READ_MAX
        waits = ([newest], ["monitor.*"], timedelta(seconds=1))
        assert await rows_read(connection, WAIT, *waits) <= READ_MAX
        assert await rows_read(connection, RESUME, *line) <= READ_MAX
        assert await rows_read(connection, MADE, [newest], [newest]) <= READ_MAX
