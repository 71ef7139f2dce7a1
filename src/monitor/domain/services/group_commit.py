"""
Group commit: concurrent calls of one process share a transaction, and with it its round trips and its flush to disk.

An idle process commits a call at once. What arrives while :data:`AT_ONCE` transactions are under way gathers, and the
next one takes it, so no call waits for a timer, and the busier the process is, the more calls share a transaction
(ADR 0028).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from typing import Generic, Protocol, TypeVar

ROWS_MAX = 200
"""Most rows of calls that share a transaction; a call with more has one of its own."""

BYTES_MAX = 2 * 1024 * 1024
"""The same for the bytes of the calls."""

AT_ONCE = 2
"""Transactions at once: the process reads requests for one while the database works on the other."""

SECOND_FROM = 20
"""Calls that are worth a second transaction beside the first, which would otherwise take these when it ends."""

STALLED_S = 0.05
"""A transaction that takes longer, for the locks of others, no longer holds the next one up."""

UNDER_WAY_MAX = 4
"""Most transactions at once, with those that stall."""


class SharedCall(Protocol):
    """What is gathered: how much it is, and the key that no other call of its transaction has."""

    @property
    def rows(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def exclusive_key(self) -> Hashable | None: ...


C = TypeVar("C", bound=SharedCall)
R = TypeVar("R")

Commit = Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]]
"""Commits some calls, and returns a result or an error for each of the first ones, at least one; the others wait for
the next transaction."""


class _Waiting(Generic[C, R]):
    """A call and its future result, and the transaction that has it."""

    def __init__(self, call: C, result: asyncio.Future[R]) -> None:
        self.call = call
        self.result = result
        self.transaction: _Transaction[C, R] | None = None


class _Transaction(Generic[C, R]):
    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.calls: list[_Waiting[C, R]] = []


class GroupCommit(Generic[C, R]):
    """
    Args:
        commit: is never run with two calls of one ``exclusive_key``.
    """

    def __init__(self, commit: Commit[C, R]) -> None:
        self._commit = commit
        self._gathered: deque[_Waiting[C, R]] = deque()
        self._under_way: set[_Transaction[C, R]] = set()
        self._timely: set[_Transaction[C, R]] = set()

    async def run(self, call: C) -> R:
        """
        Return the result of *call* once its transaction is committed.

        If all callers of a transaction are cancelled, it is rolled back; otherwise it goes on, with the calls of those
        that were.

        Raises what *commit* returns for *call*, or raises.
        """
        waiting: _Waiting[C, R] = _Waiting(call, asyncio.get_running_loop().create_future())
        self._gathered.append(waiting)
        self._begin()
        try:
            return await waiting.result
        finally:
            if waiting.result.cancelled():
                await self._give_up(waiting)

    def _begin(self) -> None:
        """Begin a transaction for what has gathered, unless enough that did not stall are under way."""
        wanted = SECOND_FROM if self._timely else 1
        if len(self._gathered) >= wanted and len(self._timely) < AT_ONCE and len(self._under_way) < UNDER_WAY_MAX:
            transaction: _Transaction[C, R] = _Transaction()
            self._under_way.add(transaction)
            self._timely.add(transaction)
            # It is no part of the request that happened to be first.
            transaction.task = asyncio.create_task(self._run(transaction), context=Context())

    async def _run(self, transaction: _Transaction[C, R]) -> None:
        stalled = asyncio.get_running_loop().call_later(STALLED_S, self._let_next, transaction)
        try:
            transaction.calls = self._take(transaction)
            if transaction.calls:
                await self._settle(transaction.calls)
        finally:
            stalled.cancel()
            self._under_way.discard(transaction)
            self._let_next(transaction)

    def _let_next(self, transaction: _Transaction[C, R]) -> None:
        """Go on without waiting for *transaction*, which is over or stalled."""
        self._timely.discard(transaction)
        self._begin()

    def _take(self, transaction: _Transaction[C, R]) -> list[_Waiting[C, R]]:
        """Return what the transaction commits: the first calls, as many as it may have, in their order."""
        taken: list[_Waiting[C, R]] = []
        left: list[_Waiting[C, R]] = []
        rows, size_bytes, keys = 0, 0, set[Hashable]()
        while self._gathered:
            waiting = self._gathered.popleft()
            call, key = waiting.call, waiting.call.exclusive_key
            if waiting.result.done():
                continue
            if key is not None and key in keys:
                left.append(waiting)
                continue
            rows, size_bytes = rows + call.rows, size_bytes + call.size_bytes
            if taken and (rows > ROWS_MAX or size_bytes > BYTES_MAX):
                left.append(waiting)
                break
            if key is not None:
                keys.add(key)
            waiting.transaction = transaction
            taken.append(waiting)
        self._gathered.extendleft(reversed(left))
        return taken

    async def _settle(self, calls: list[_Waiting[C, R]]) -> None:
        try:
            found = await self._commit([waiting.call for waiting in calls])
        except Exception as error:  # noqa: BLE001 - each caller raises it
            found = [error] * len(calls)
        except BaseException:
            for waiting in calls:
                waiting.result.cancel()
            raise
        for waiting, result in zip(calls, found, strict=False):
            if waiting.result.done():
                continue
            if isinstance(result, Exception):
                waiting.result.set_exception(result)
            else:
                waiting.result.set_result(result)
        for waiting in reversed(calls[len(found) :]):
            waiting.transaction = None
            self._gathered.appendleft(waiting)

    async def _give_up(self, waiting: _Waiting[C, R]) -> None:
        """Roll the transaction of a cancelled call back, if all its other calls are cancelled as well."""
        transaction = waiting.transaction
        if transaction is None or transaction.task is None or transaction not in self._under_way:
            return
        if all(other.result.cancelled() for other in transaction.calls):
            transaction.task.cancel()
            await asyncio.wait([transaction.task])
