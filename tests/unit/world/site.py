"""Two delivery workers with clocks of their own, a receiver with a book, and people, on one stepped loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from monitor.bootstrap.supervise import Supervisor
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.settle import SentDelivery
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.vocab import ErrorKind
from monitor.worker.config import DeliveryConfig
from monitor.worker.delivery_loop import DeliveryWorker
from tests.fakes.clock import START, FakeClock
from tests.fakes.loop import SteppedLoop
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.repositories.events import FakeWakeups
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork

T = TypeVar("T")

TIMEOUT_S = 15.0


class FollowedClock(FakeClock):
    """The time of the database and of the loop. *followers* are the clocks of workers, which go as fast."""

    def __init__(self) -> None:
        super().__init__()
        self.followers: list[FakeClock] = []

    def advance(self, seconds: float) -> datetime:
        for follower in self.followers:
            follower.advance(seconds)
        return super().advance(seconds)


class Request:
    """One request in the receiver's book. ``settled`` once its worker reported it."""

    def __init__(self, request: OutboundRequest, worker: str, at: datetime) -> None:
        self.event_id = dict(request.headers)["webhook-id"]
        self.url = request.url
        self.worker = worker
        self.at = at
        self.outcome: Outcome | None = None
        self.is_open = True
        self.settled = False
        self.respond: Callable[[int | None], None] = lambda _status: None

    def abandon(self) -> None:
        """The sender gives up; the receiver has the request all the same."""
        self.is_open = False


class Receiver:
    """Answers after ``delay_s`` with ``status``, or with ``None`` not at all; keeps every request."""

    def __init__(self, loop: SteppedLoop, clock: FakeClock) -> None:
        self._loop = loop
        self._clock = clock
        self.status: int | None = 200
        self.delay_s = 0.01
        self.requests: list[Request] = []
        self.on_request: Callable[[Request], None] = lambda _request: None

    def take(self, request: OutboundRequest, worker: str, on_outcome: Callable[[Outcome], object]) -> Request:
        made = Request(request, worker, self._clock.now())

        def respond(status: int | None) -> None:
            if not made.is_open:
                return
            made.is_open = False
            latency_ms = (self._clock.now() - made.at) / timedelta(milliseconds=1)
            if status is None:
                made.outcome = Outcome(latency_ms, error=ErrorKind.TIMEOUT)
            else:
                error = None if status < 300 else ErrorKind.STATUS
                made.outcome = Outcome(latency_ms, status, error, retry_after="2")
            on_outcome(made.outcome)

        made.respond = respond
        self.requests.append(made)
        self.on_request(made)
        self._loop.call_later(TIMEOUT_S, respond, None)
        if self.status is not None:
            self._loop.call_later(self.delay_s, respond, self.status)
        return made

    @property
    def open(self) -> Counter[str]:
        """Count the requests under way by worker."""
        return Counter(request.worker for request in self.requests if request.is_open)

    def of(self, event_id: UUID) -> list[Request]:
        return [request for request in self.requests if request.event_id == str(event_id)]


class Sender:
    def __init__(self, receiver: Receiver, worker: str) -> None:
        self._receiver = receiver
        self._worker = worker

    def start(self, request: OutboundRequest, on_outcome: Callable[[Outcome], object], **_options: object) -> Request:
        return self._receiver.take(request, self._worker, on_outcome)

    async def send(self, request: OutboundRequest) -> Outcome:
        raise NotImplementedError(request)


class Keys:
    """``KeyFactory`` of keys that are all the same."""

    def new_key(self, scheme: str) -> tuple[bytes, str]:
        return bytes(32), scheme

    def shown(self, scheme: str, key: bytes) -> str:
        return f"{scheme} {key.hex()}"


class Site:
    """Everything of one world; *config* is that of both workers.

    Nothing moves unless :meth:`run` or :meth:`pass_time` is called.
    """

    def __init__(self, config: DeliveryConfig) -> None:
        self.config = config
        self.clock = FollowedClock()
        self.loop = SteppedLoop(self.clock)
        self.database = FakeDatabase(self.clock)
        self.queries = FakeQueries(self.database)
        self.receiver = Receiver(self.loop, self.clock)
        self.commands = WebhookCommands(self.unit_of_work, self.queries, self.clock, Keys(), lambda url: url)
        self.replays = ReplayCommands(self.unit_of_work, self.clock)
        self.jobs = JobCommands(self.unit_of_work)
        self.supervisor = Supervisor()
        self._tasks: dict[int, list[asyncio.Task[None]]] = {}
        self._names = 0
        self._clocks = [
            FakeClock(START + timedelta(minutes=10), seed=1),
            FakeClock(START - timedelta(minutes=3), seed=2),
        ]
        self.clock.followers += self._clocks
        for n in range(2):
            self.start(n)

    def unit_of_work(self) -> FakeUnitOfWork:
        return FakeUnitOfWork(self.database)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work*, which must not wait for time to pass."""
        task = self.loop.create_task(work)
        self.loop.run_ready()
        return task.result()

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    def suspend(self, seconds: float) -> None:
        """Let time pass without any process running, as on a machine that sleeps."""
        self.clock.advance(seconds)
        self.loop.run_ready()

    def start(self, n: int) -> None:
        """Start worker *n*."""
        self._names += 1
        name = f"{n}-{self._names}"
        deliverer = Deliverer(
            self.unit_of_work,
            self.queries,
            Sender(self.receiver, name),
            self._clocks[n],
            lambda _key, _content: "v1a,x",
            DeliverConfig(name, undecided_s=1.0),
        )
        worker = DeliveryWorker(
            deliverer,
            FakeWakeups(self.database),
            self.config,
            log_attempts=self._report,
            monotonic=self._clocks[n].monotonic,
        )

        async def begin() -> list[asyncio.Task[None]]:
            loops = [self.supervisor.start(name, loop) for name, loop in worker.loops().items()]
            return [*loops, asyncio.create_task(worker.run())]

        self._tasks[n] = self.run(begin())

    def crash(self, n: int) -> list[Request]:
        """End worker *n* at once; return its requests that it had not reported."""
        name = f"{n}-"
        lost = [one for one in self.receiver.requests if one.worker.startswith(name) and not one.settled]
        for task in self._tasks.pop(n):
            task.cancel()
        self.loop.run_ready()
        return lost

    def close(self) -> None:
        for n in list(self._tasks):
            self.crash(n)
        self.loop.close()

    def _report(self, batch: Sequence[SentDelivery], _lost: Collection[UUID]) -> None:
        outcomes = {id(sent.outcome) for sent in batch}
        for request in self.receiver.requests:
            if id(request.outcome) in outcomes:
                request.settled = True
