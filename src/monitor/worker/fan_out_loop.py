"""The loop that carries on fan-outs, chunk by chunk: woken by NOTIFY, with a poll as the fallback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from monitor.domain.errors import Unavailable
from monitor.domain.services.fan_outs import FanOutResult

REST_RATIO = 3.0
"""Rest after each chunk, in times of its duration: the database and this process serve others meanwhile."""

log = structlog.get_logger(__name__)


class FanOutLoop:
    """
    Any number of processes may run one.

    Args:
        step: makes one chunk; returns ``None`` if there was none to make.
    """

    def __init__(
        self, step: Callable[[], Awaitable[FanOutResult | None]], *, poll_s: float, monotonic: Callable[[], float]
    ) -> None:
        self._step = step
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Note that there may be a fan-out to carry on."""
        self._woken.set()

    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the loop to run under supervision, by name."""
        return {"worker.fan_out": self._loop}

    async def _loop(self) -> None:
        while True:
            self._woken.clear()
            begun = self._monotonic()
            try:
                made = await self._step()
            except Unavailable as error:
                log.warning("fan_out_postponed", detail=error.detail)
                made = None
            if made is None:
                await self._wait()
                continue
            if made.error is not None:
                log.error("fan_out_failed", event_id=str(made.fan_out_id), exc_info=made.error)
            elif made.is_finished:
                log.info("fan_out_finished", event_id=str(made.fan_out_id), events=made.events)
            await asyncio.sleep((self._monotonic() - begun) * REST_RATIO)

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self._poll_s)
