"""``FakeIdempotencyStore`` and ``FakeAuditLog``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from monitor.domain.errors import IdempotencyMismatch, UnreadableRow
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.repositories.idempotency import KeyedCall
from monitor.domain.views.audit import AuditView
from monitor.domain.vocab import Actor
from tests.fakes.postgres.database import IdempotencyKey, Tables

KEPT = timedelta(hours=24)


class FakeIdempotencyStore:
    """Transactions take turns, so a call that holds a key is always over."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def begin(self, scope: str, key: str, body: bytes) -> bytes | None:
        row = self._tables.idempotency_keys.get((scope, key))
        if row is None or row.created_at < self._now - KEPT:
            self._tables.idempotency_keys[scope, key] = IdempotencyKey(body, self._now)
            return None
        if row.body != body:
            raise IdempotencyMismatch("This Idempotency-Key came with another body in the last 24 hours.")
        return row.answer

    async def begin_all(self, calls: Sequence[KeyedCall]) -> list[bytes | IdempotencyMismatch | UnreadableRow | None]:
        begun: list[bytes | IdempotencyMismatch | UnreadableRow | None] = []
        for call in calls:
            try:
                begun.append(await self.begin(call.scope, call.key, call.body))
            except IdempotencyMismatch as error:
                begun.append(error)
        return begun

    async def finish_all(self, answers: Mapping[tuple[str, str], bytes]) -> None:
        for (scope, key), answer in answers.items():
            await self.finish(scope, key, answer)

    async def finish(self, scope: str, key: str, answer: bytes) -> None:
        if row := self._tables.idempotency_keys.get((scope, key)):
            self._tables.idempotency_keys[scope, key] = replace(row, answer=answer)


class FakeAuditLog:
    def __init__(self, tables: Tables, clock: Clock, now: datetime) -> None:
        self._tables = tables
        self._clock = clock
        self._now = now

    async def add(
        self, actor: Actor, action: str, target: str, *, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        id_ = self._clock.new_id()
        self._tables.audit[id_] = AuditView(
            id=id_,
            at=self._now,
            subject=actor.subject,
            role=actor.role,
            request_id=actor.request_id,
            client=actor.client,
            action=action,
            target=target,
            # As the database gives them back: what JSON makes of them.
            before=msgspec.json.decode(msgspec.json.encode(before)),
            after=msgspec.json.decode(msgspec.json.encode(after)),
        )
