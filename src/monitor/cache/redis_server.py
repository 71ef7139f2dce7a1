"""``CacheServer`` on Redis 6 or later, or a fork of it. Run that server without persistence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitor.cache.server import Acked, BusMessage, Fetched, Invalidated, Member, Pong, Released, ServerGone

PREFIX = "monitor:cache:2:"
"""The number is that of the formats: processes that read others do not meet."""

CONNECTIONS = 16
ANSWER_S = 0.15
CONNECT_S = 0.1
TOKEN_TTL_S = 2 * 24 * 3600
"""Longer than any value lives, so that no value outlives the tokens in front of it."""

_NOW_MS = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

# A server that was flushed does not know who is a member. What it knew lives on in one that never answers.
_UNKNOWN = "redis.call('ZADD', KEYS[1], 'NX', now + ARGV[1], '?')\n"

_DROP = f"""{_NOW_MS} {_UNKNOWN}
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[4 + i - 1], 'PX', ARGV[4]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    if gone ~= '?' then redis.call('ZREM', KEYS[1], gone) end
end
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%d', now), '+inf', 'WITHSCORES')
for i = 2, #members, 2 do members[i] = tostring(members[i] - now) end
return members
"""

_RENEW = f"{_NOW_MS} {_UNKNOWN} return redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[2])"

_UNLOCK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])
"""

_ADOPT = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(BusMessage).decode


class RedisCacheServer:
    """
    See :class:`monitor.cache.server.CacheServer`. Connects when first used, and again after any failure.

    Args:
        prefix: in front of every name in Redis, so that several products can share one.
        patience: multiplies the time limits, for machines on which processes wait for each other.
    """

    def __init__(self, url: str, *, prefix: str = PREFIX, patience: float = 1.0) -> None:
        common: dict[str, Any] = {
            "protocol": 2,
            "socket_connect_timeout": patience * CONNECT_S,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": False,
        }
        self._prefix = prefix
        self._subscribe_s = patience * (CONNECT_S + ANSWER_S)
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=patience * ANSWER_S, socket_timeout=patience * ANSWER_S, **common
        )
        # Any, since the driver's types speak of text and bytes, and of calls with and without a wait, at once.
        self._redis: Any = Redis(connection_pool=pool)
        # A subscriber waits for as long as nothing is said; that it hears at all is proven by pings.
        self._listeners: Any = ConnectionPool.from_url(url, socket_timeout=None, **common)
        self._drop = self._redis.register_script(_DROP)
        self._renew = self._redis.register_script(_RENEW)
        self._unlock = self._redis.register_script(_UNLOCK)
        self._adopt = self._redis.register_script(_ADOPT)

    async def close(self) -> None:
        with _translated():
            await self._redis.aclose(close_connection_pool=True)

    async def fetch(self, key: str, tags: Sequence[str]) -> Fetched:
        with _translated():
            value, *tokens = await self._redis.mget(self._names(key, tags))
            return value, tokens

    async def mint(self, tokens: Mapping[str, bytes]) -> list[bytes]:
        names = [self._token(tag) for tag in tokens]
        with _translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                for name, token in zip(names, tokens.values(), strict=True):
                    pipe.set(name, token, nx=True, ex=TOKEN_TTL_S)
                pipe.mget(names)
                held: list[bytes] = (await pipe.execute())[-1]
        return held

    async def store(self, key: str, value: bytes, ttl_s: float) -> None:
        with _translated():
            await self._redis.set(self._value(key), value, px=_ms(ttl_s))

    async def delete(self, key: str, message: Invalidated) -> None:
        with _translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(self._value(key))
                pipe.publish(self._bus, _encode(message))
                await pipe.execute()

    async def lock(self, key: str, holder: str, lease_s: float, tags: Sequence[str]) -> Fetched | None:
        with _translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(self._lock(key), holder, nx=True, px=_ms(lease_s))
                pipe.mget(self._names(key, tags))
                held, (value, *tokens) = await pipe.execute()
        return (value, tokens) if held else None

    async def unlock(self, key: str, holder: str) -> None:
        with _translated():
            await self._unlock(keys=[self._lock(key)], args=[holder, self._bus, _encode(Released(key))])

    async def invalidate(self, tokens: Mapping[str, bytes], message: Invalidated, lease_s: float) -> list[Member]:
        names = [self._members, *map(self._token, tokens)]
        args: list[Any] = [_ms(lease_s), self._bus, _encode(message), TOKEN_TTL_S * 1000, *tokens.values()]
        with _translated():
            flat: list[bytes] = await self._drop(keys=names, args=args)
        return [Member(name.decode(), float(ms) / 1000) for name, ms in zip(flat[::2], flat[1::2], strict=True)]

    async def renew(self, member: str, lease_s: float) -> None:
        with _translated():
            await self._renew(keys=[self._members], args=[_ms(lease_s), member])

    async def leave(self, member: str) -> None:
        with _translated():
            await self._redis.zrem(self._members, member)

    async def ack(self, sender: str, message: Acked) -> None:
        with _translated():
            await self._redis.publish(self._own_bus(sender), _encode(message))

    async def reset_if_server_changed(self, root_token: bytes, message: Invalidated) -> bool:
        with _translated():
            run_id = (await self._redis.info("server"))["run_id"]
            args: list[Any] = [run_id, root_token, TOKEN_TTL_S * 1000, self._bus, _encode(message)]
            names = [f"{self._prefix}run", *map(self._token, message.tags)]
            return bool(await self._adopt(keys=names, args=args))

    async def claim(self, name: str, ttl_s: float) -> bool:
        with _translated():
            return bool(await self._redis.set(f"{self._prefix}{name}", b"1", nx=True, px=_ms(ttl_s)))

    @asynccontextmanager
    async def subscribe(self, member: str) -> AsyncIterator[RedisSubscription]:
        connection = self._listeners.make_connection()
        try:
            with _translated():
                async with asyncio.timeout(self._subscribe_s):
                    await connection.connect()
                    await connection.send_command("SUBSCRIBE", self._bus, self._own_bus(member))
                    for _ in range(2):
                        await connection.read_response()
            yield RedisSubscription(connection)
        finally:
            await connection.disconnect(nowait=True)

    @property
    def _bus(self) -> str:
        return f"{self._prefix}bus"

    @property
    def _members(self) -> str:
        return f"{self._prefix}members"

    def _own_bus(self, member: str) -> str:
        return f"{self._prefix}bus:{member}"

    def _names(self, key: str, tags: Sequence[str]) -> list[str]:
        return [self._value(key), *map(self._token, tags)]

    def _value(self, key: str) -> str:
        return f"{self._prefix}v:{key}"

    def _token(self, tag: str) -> str:
        return f"{self._prefix}t:{tag}"

    def _lock(self, key: str) -> str:
        return f"{self._prefix}l:{key}"


class RedisSubscription:
    """
    See :class:`monitor.cache.server.Subscription`. A bare connection, because redis-py's ``PubSub`` connects again on
    its own, and nobody would learn that messages were lost in between.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ping(self, payload: bytes) -> None:
        with _translated():
            await self._connection.send_command("PING", payload)

    async def receive(self) -> BusMessage | Pong:
        with _translated():
            kind, *rest = await self._connection.read_response()
        return Pong(rest[-1]) if kind == b"pong" else _decode(rest[-1])


@contextmanager
def _translated() -> Iterator[None]:
    """Turn every failure of the driver into ``ServerGone``."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise ServerGone(str(error)) from error


def _ms(seconds: float) -> int:
    return max(int(seconds * 1000), 1)
