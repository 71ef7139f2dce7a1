"""What makes a call safe to repeat, and its answer true when the database is lost right after the commit."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from monitor.domain.errors import IdempotencyMismatch, Unavailable, UnreadableRow
from monitor.domain.ports.repositories.idempotency import KeyedCall
from monitor.domain.ports.unit_of_work import UnitOfWork

T = TypeVar("T")


async def stored_response(uow: UnitOfWork, scope: str, key: str | None, body: bytes, type_: type[T]) -> T | None:
    """
    Return the response of an earlier call with the Idempotency-Key *key*, waiting for one that is under way.

    Args:
        scope: subject and resource; the same key in another scope is another key.
        body: of the request, to which the key is bound for 24 hours.

    Returns:
        ``None`` without a key or an earlier call: do the work, then :func:`store_response`.

    Raises:
        IdempotencyMismatch: *key* came with another body.
        UnreadableRow: another version stored the response.
    """
    if key is None:
        return None
    response = await uow.idempotency.begin(scope, key, body)
    return None if response is None else _decoded(response, type_)


async def stored_responses(
    uow: UnitOfWork, calls: Sequence[KeyedCall | None], type_: type[T]
) -> list[T | IdempotencyMismatch | UnreadableRow | None]:
    """Return for each of *calls*, of which those without a key are ``None``, what :func:`stored_response` returns or
    raises. No two have the same key."""
    keyed = [call for call in calls if call is not None]
    begun = iter(await uow.idempotency.begin_all(keyed) if keyed else ())
    found: list[T | IdempotencyMismatch | UnreadableRow | None] = []
    for call in calls:
        response = None if call is None else next(begun)
        try:
            found.append(_decoded(response, type_) if isinstance(response, bytes) else response)
        except UnreadableRow as error:
            found.append(error)
    return found


def _decoded(response: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(response, type=type_)
    except msgspec.MsgspecError as error:
        raise UnreadableRow("Another version of Monitor answered the first call; this one cannot read it.") from error


async def store_response(uow: UnitOfWork, scope: str, key: str | None, response: object) -> None:
    """Store *response* for repeats of the call, in its transaction; nothing happens without a key."""
    if key is not None:
        await uow.idempotency.finish(scope, key, msgspec.json.encode(response))


async def store_responses(uow: UnitOfWork, responses: Sequence[tuple[KeyedCall | None, object]]) -> None:
    """Do for each call and its response what :func:`store_response` does."""
    answers = {
        (call.scope, call.key): msgspec.json.encode(response) for call, response in responses if call is not None
    }
    if answers:
        await uow.idempotency.finish_all(answers)


async def read_back(read: Awaitable[T], written: T) -> T:
    """Return what *read* finds after a commit, or *written* if it cannot be read any more."""
    try:
        return await read
    except (Unavailable, UnreadableRow):
        return written
