"""``FakeWebhookSender``: answers from a script and keeps what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import ErrorKind

Receiver = Callable[[OutboundRequest], Outcome]

UNWRITTEN = Outcome(1.0, error=ErrorKind.OTHER, local=True)


class FakePendingSend:
    """A task that waits for the answer."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def abandon(self) -> None:
        self._task.cancel()


class FakeWebhookSender:
    """
    Answers each request with what *receiver* says; 200 by default.

    Attributes:
        requests: everything sent, in order.
        open: while cleared, requests hang as at a receiver that does not answer.
    """

    def __init__(self, receiver: Receiver | None = None) -> None:
        self.receiver = receiver or (lambda _: Outcome(latency_ms=5.0, status_code=200))
        self.requests: list[OutboundRequest] = []
        self.open = asyncio.Event()
        self.may_write: Callable[[], bool] | None = None
        self.open.set()

    def start(
        self,
        request: OutboundRequest,
        on_outcome: Callable[[Outcome], object],
        *,
        may_write: Callable[[], bool] | None = None,
    ) -> FakePendingSend:
        self.may_write = may_write

        async def call_back() -> None:
            on_outcome(await self.send(request) if may_write is None or may_write() else UNWRITTEN)

        return FakePendingSend(asyncio.create_task(call_back()))

    async def send(self, request: OutboundRequest) -> Outcome:
        self.requests.append(request)
        await self.open.wait()
        return self.receiver(request)
