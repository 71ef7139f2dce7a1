"""Wake-ups: LISTEN on a connection of its own, made again whenever it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.outages import DRIVER_ERRORS
from monitor.adapters.postgres.repositories.events import CHANNEL, woken
from monitor.adapters.postgres.repositories.fan_outs import FAN_OUT_CHANNEL
from monitor.domain.errors import Unavailable
from monitor.domain.ports.wakeups import DueWebhooks

RETRY_S = 1.0
PROBE_S = 10.0
ANSWER_S = 5.0

log = structlog.get_logger(__name__)


class PostgresWakeups:
    """See :class:`monitor.domain.ports.wakeups.Wakeups`."""

    def __init__(
        self, database: Database, *, probe_s: float = PROBE_S, on_fan_out: Callable[[], object] = lambda: None
    ) -> None:
        """
        Args:
            probe_s: how long a connection may be silent before it is probed.
            on_fan_out: called when a fan-out was left to workers, and after each connect.
        """
        self._database = database
        self._probe_s = probe_s
        self._on_fan_out = on_fan_out

    async def listen(self, on_wake: Callable[[DueWebhooks], None]) -> None:
        self._database.listening = False
        while True:
            try:
                await self._listen_once(on_wake)
            except (Unavailable, *DRIVER_ERRORS) as error:
                log.warning("wakeups_lost", error=type(error).__name__)
            finally:
                self._database.listening = False
            await asyncio.sleep(RETRY_S)

    async def _listen_once(self, on_wake: Callable[[DueWebhooks], None]) -> None:
        connection = await self._database.connect()
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        try:
            await connection.add_listener(CHANNEL, lambda _c, _pid, _channel, payload: on_wake(woken(str(payload))))
            await connection.add_listener(FAN_OUT_CHANNEL, lambda *_: self._on_fan_out())
            self._database.listening = True
            on_wake(None)  # Messages may be lost before.
            self._on_fan_out()
            while not closed.is_set():
                try:
                    await asyncio.wait_for(closed.wait(), self._probe_s)
                except TimeoutError:
                    # A connection that a firewall forgot brings nothing for ever and never ends by itself.
                    await connection.fetchval("SELECT 1", timeout=ANSWER_S)
        finally:
            connection.terminate()
