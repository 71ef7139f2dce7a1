"""A database that takes too long for a whole batch of results."""

from __future__ import annotations

from monitor.bootstrap.container import Container
from monitor.settings.schema import Db
from tests.integration.support import WITHIN_S, Api, Receiver, eventually, execute, finished, settings, working

SLOW = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({each_s}); RETURN NEW; END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION dawdle()
"""


async def test_results_are_written_in_parts_that_fit_into_the_limit(
    own_api: Api, own_parts: Container, receiver: Receiver
) -> None:
    await own_api.create(receiver.url, max_concurrency=100)
    brief = settings(own_parts.database.dsn, db=Db(statement_timeout_ms=1_500, acquire_timeout_s=WITHIN_S))
    await execute(own_parts, SLOW.format(each_s=0.1))
    ids = await own_api.publish(*range(60))
    async with Container(brief) as own, working(own) as worker:
        rows = await finished(own_api, 60)
        await eventually(lambda: worker.held == 0)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}
    assert sorted(receiver.ids) == sorted(ids)
