"""
``CacheServer`` on Redis 6.2 or later, or a fork of it. Run that server without persistence.

Tokens are compared, so all must come from one history. A server that was restarted or promoted may have lost the last
invalidations; so every connection reads the identity of its server, and is used only if that is the one on which
this process has replaced the root token.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import MappingProxyType
from typing import Any

import msgspec
import structlog
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterDownError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from monitor.cache.server import ROOT, Acked, BusMessage, Fetched, Invalidated, Member, Pong, Released, ServerGone
from monitor.domain.monitoring.metrics import DAY_S

DEFAULT_PREFIX = "{monitor:cache:3}:"
PREFIX = "{monitor:cache:3:*}:"
"""With the installation in place of ``*``. The number is that of the formats: processes with others do not meet.
The braces keep all names in one slot of a cluster, for there is one order of invalidations."""

CONNECTIONS = 16
ANSWER_S = 0.15
CONNECT_S = 0.1
TOKEN_TTL_S = 2 * DAY_S
"""Longer than any value lives, so that no value outlives the tokens in front of it."""

MOVED_AWAY = (ReadOnlyError, AskError, ClusterDownError, TryAgainError)
"""Answers of a server that is not, or not yet, the one for our names: the next connection looks for it again."""

_NOW_MS = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

# Flushed, or a name taken by something else: a server without its list of members counts an unnamed one, for a lease.
_MEMBERS = """
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
redis.call('ZADD', KEYS[1], 'NX', now + ARGV[1], '?')
"""

# The first string shows that it is this script that has answered. The unnamed member stays when its lease has ended.
_INVALIDATE = f"""{_NOW_MS} {_MEMBERS}
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[4 + i - 1], 'PX', ARGV[4]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    if gone ~= '?' then redis.call('ZREM', KEYS[1], gone) end
end
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%d', now), '+inf', 'WITHSCORES')
for i = 2, #members, 2 do members[i] = tostring(members[i] - now) end
return {{'invalidated', unpack(members)}}
"""

_RENEW = f"{_NOW_MS} {_MEMBERS} return redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[2])"

# The writes of a member that leaves fail where those of an invalidation do: it goes on to read values only from a
# server that takes writes (a full one does not), since others may wait to be sent.
_LEAVE = """
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
"""

_MINT = """
for i, key in ipairs(KEYS) do
    if redis.call('TYPE', key).ok ~= 'string' then redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end
end
return redis.call('MGET', unpack(KEYS))
"""

_UNLOCK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])
"""

# The list of members goes, too: leases that were renewed last may be missing in it.
_RESET_IF_CHANGED = """
local before = redis.pcall('GET', KEYS[1])
if ARGV[6] == '0' and before == ARGV[1] then return {0, before} end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return {1, type(before) == 'string' and before or ''}
"""

_IDENTITY = re.compile(rb"^(?:run_id|master_replid):(\w+)", re.MULTILINE)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(BusMessage).decode

log = structlog.get_logger(__name__)


class RedisCacheServer:
    """
    See :class:`monitor.cache.server.CacheServer`. Connects when first used, and again after any failure.

    Args:
        prefix: stands, or returns what stands, in front of every name in Redis. May
            raise the driver's error: the server counts as unreachable then.
        patience: multiplies the time limits, for machines on which processes wait for each other.
        options: of the connections, as the driver names them: how each finds the server, and detects that the
            network dropped it.
        find_s: how long finding the server may take.
        handshake_s: how much longer than to a plain socket connecting may take.
        incarnation: returns what changes when the data behind the values may have been set back.
        on_set_back: called after a reset for that reason.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str | Callable[[], str] = DEFAULT_PREFIX,
        patience: float = 1.0,
        options: Mapping[str, Any] = MappingProxyType({}),
        find_s: float = 0.0,
        handshake_s: float = 0.0,
        incarnation: Callable[[], Awaitable[str]] | None = None,
        on_set_back: Callable[[], object] = lambda: None,
    ) -> None:
        common: dict[str, Any] = {
            "protocol": 2,
            "socket_connect_timeout": patience * (CONNECT_S + handshake_s),
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": False,
            **options,
        }
        self._prefix = prefix if callable(prefix) else lambda: prefix
        self._identity: str | None = None
        """Of the server on which this process has replaced the root token, or found it replaced."""
        self._incarnation = incarnation
        self._on_set_back = on_set_back
        self._subscribe_s = patience * (find_s + handshake_s + CONNECT_S + ANSWER_S)
        answer_s = patience * ANSWER_S
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=answer_s,
            socket_timeout=answer_s,
            redis_connect_func=self._greet,
            **common,
        )
        # Any, since the driver's types cover text and bytes, and calls with and without a wait, at once.
        self._redis: Any = Redis(connection_pool=pool)
        # A subscriber waits for as long as nothing is published; pings prove that the connection still works.
        self._singles: Any = ConnectionPool.from_url(url, socket_timeout=None, **common)
        self._invalidate = self._redis.register_script(_INVALIDATE)
        self._renew = self._redis.register_script(_RENEW)
        self._mint = self._redis.register_script(_MINT)
        self._leave = self._redis.register_script(_LEAVE)
        self._unlock = self._redis.register_script(_UNLOCK)

    async def close(self) -> None:
        with _translated():
            await self._redis.aclose(close_connection_pool=True)

    async def fetch(self, key: str, tags: Sequence[str]) -> Fetched:
        async with self._calling():
            value, *tokens = _strings(await self._redis.mget(self._names(key, tags)), 1 + len(tags))
            return value, tokens

    async def mint(self, tokens: Mapping[str, bytes]) -> list[bytes]:
        args: list[Any] = [TOKEN_TTL_S * 1000, *tokens.values()]
        async with self._calling():
            names = [self._token(tag) for tag in tokens]
            held: list[bytes] = _strings(await self._mint(keys=names, args=args), len(names))
            return held

    async def store(self, key: str, value: bytes, ttl_s: float) -> None:
        async with self._calling():
            await self._redis.set(self._value(key), value, px=_ms(ttl_s))

    async def delete(self, key: str, message: Invalidated) -> None:
        async with self._calling(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._value(key))
            pipe.publish(self._bus, _encode(message))
            await pipe.execute()

    async def lock(self, key: str, holder: str, lease_s: float, tags: Sequence[str]) -> Fetched | None:
        async with self._calling():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(self._lock(key), holder, nx=True, px=_ms(lease_s))
                pipe.mget(self._names(key, tags))
                held, answer = await pipe.execute()
            value, *tokens = _strings(answer, 1 + len(tags))
            return (value, tokens) if held else None

    async def unlock(self, key: str, holder: str) -> None:
        async with self._calling():
            await self._unlock(keys=[self._lock(key)], args=[holder, self._bus, _encode(Released(key))])

    async def invalidate(self, tokens: Mapping[str, bytes], message: Invalidated, lease_s: float) -> list[Member]:
        async with self._calling():
            names = [self._members, *map(self._token, tokens)]
            args: list[Any] = [_ms(lease_s), self._bus, _encode(message), TOKEN_TTL_S * 1000, *tokens.values()]
            done, *flat = await self._invalidate(keys=names, args=args)
            if done != b"invalidated":
                raise ValueError("not the answer of the script")
            return [Member(name.decode(), float(ms) / 1000) for name, ms in zip(flat[::2], flat[1::2], strict=True)]

    async def renew(self, member: str, lease_s: float) -> None:
        async with self._calling():
            await self._renew(keys=[self._members], args=[_ms(lease_s), member])

    async def leave(self, member: str) -> None:
        async with self._calling():
            await self._leave(keys=[self._members], args=[member])

    async def ack(self, sender: str, message: Acked) -> None:
        async with self._calling():
            await self._redis.publish(self._own_bus(sender), _encode(message))

    async def reset_if_server_changed(self, root_token: bytes, message: Invalidated) -> bool:
        incarnation = "" if self._incarnation is None else await self._incarnation()
        async with self._calling(), self._single() as connection:
            found = await _identify(connection)
            # Another one than before: what it holds may be of a time before the one that this process comes from.
            forced = self._identity not in (None, found)
            names = [f"{self._prefix()}run", *map(self._token, message.tags), self._members]
            mark = f"{found}/{incarnation}"
            args: list[Any] = [mark, root_token, TOKEN_TTL_S * 1000, self._bus, _encode(message), int(forced)]
            await connection.send_command("EVAL", _RESET_IF_CHANGED, len(names), *names, *args)
            changed, before = await connection.read_response()
            if changed not in (0, 1):
                raise ValueError("not the answer of the script")
            known = before.decode().partition("/")[2]
            if found != self._identity:
                self._identity = found
                # The open ones are to the server before.
                await self._redis.connection_pool.disconnect(inuse_connections=True)
        if changed and known not in ("", incarnation):
            log.warning("database_set_back", before=known, now=incarnation)
            self._on_set_back()
        return bool(changed)

    async def claim(self, name: str, ttl_s: float) -> bool:
        async with self._calling():
            return bool(await self._redis.set(f"{self._prefix()}{name}", b"1", nx=True, px=_ms(ttl_s)))

    @asynccontextmanager
    async def subscribe(self, member: str) -> AsyncIterator[RedisSubscription]:
        async with self._single() as connection:
            with _translated():
                async with asyncio.timeout(self._subscribe_s):
                    found = await _identify(connection)
                    await connection.send_command("SUBSCRIBE", self._bus, self._own_bus(member))
                    for _ in range(2):
                        kind, *_ = await connection.read_response()
                        if kind != b"subscribe":
                            raise ValueError("not subscribed")
            yield RedisSubscription(connection, lambda: self._identity == found)

    @asynccontextmanager
    async def _single(self) -> AsyncIterator[Any]:
        """A connection of one's own."""
        connection = self._singles.make_connection()
        try:
            with _translated():
                async with asyncio.timeout(self._subscribe_s):
                    await connection.connect()
            yield connection
        finally:
            await connection.disconnect(nowait=True)

    async def _greet(self, connection: Any) -> None:
        """Prepare a connection of the pool. Raises the driver's error if its server has not been reset yet."""
        await connection.on_connect()
        if await _identify(connection) != self._identity:
            raise RedisConnectionError("another server, whose values may be of the past")

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[None]:
        try:
            with _translated():
                yield
        except ServerGone as error:
            if isinstance(error.__cause__, (*MOVED_AWAY, RedisConnectionError, RedisTimeoutError, OSError)):
                # What dropped one connection silently dropped those that were idle, too.
                with suppress(RedisError, OSError):
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise

    @property
    def _bus(self) -> str:
        return f"{self._prefix()}bus"

    @property
    def _members(self) -> str:
        return f"{self._prefix()}members"

    def _own_bus(self, member: str) -> str:
        return f"{self._bus}:{member}"

    def _names(self, key: str, tags: Sequence[str]) -> list[str]:
        return [self._value(key), *map(self._token, tags)]

    def _value(self, key: str) -> str:
        return f"{self._prefix()}v:{key}"

    def _token(self, tag: str) -> str:
        return f"{self._prefix()}t:{tag}"

    def _lock(self, key: str) -> str:
        return f"{self._prefix()}l:{key}"


class RedisSubscription:
    """
    See :class:`monitor.cache.server.BusSubscription`. A bare connection, because redis-py's ``PubSub`` reconnects on
    its own, which hides that messages were lost in between.

    Args:
        is_current: whether its server is the one that takes the commands of this process.
    """

    def __init__(self, connection: Connection, is_current: Callable[[], bool]) -> None:
        self._connection = connection
        self._is_current = is_current

    async def ping(self, payload: bytes) -> None:
        with _translated():
            await self._connection.send_command("PING", payload)

    async def receive(self) -> BusMessage | Pong:
        with _translated():
            kind, *_, payload = await self._connection.read_response()
            if kind == b"pong":
                if not self._is_current():
                    raise RedisConnectionError("another server has taken over")
                return Pong(payload)
            if kind != b"message":
                raise ValueError(f"not a message: {kind!r}")
            try:
                return _decode(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                # It may have been about any value.
                log.warning("cache_message_unreadable", error=repr(error))
                return Invalidated(0, "", (ROOT,))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn every failure into ``ServerGone``, an answer of the wrong shape included."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise ServerGone(str(error)) from error
    except Exception as error:
        log.warning("cache_server_answer_unreadable", error=repr(error))
        raise ServerGone(f"unreadable answer: {error!r}") from error


async def _identify(connection: Any) -> str:
    """Return what changes when a server is restarted or promoted. Raises the driver's error for a replica."""
    sections = []
    for section in ("server", "replication"):
        await connection.send_command("INFO", section)
        sections.append(await connection.read_response())
    text = b"\n".join(sections)
    if b"role:master" not in text:
        raise RedisConnectionError("a replica")
    return b" ".join(_IDENTITY.findall(text)).decode()


def _strings(answer: Any, count: int) -> Any:
    """Return *answer* if it is a list of *count* strings, each of which may be missing. Raises ``ValueError``."""
    if isinstance(answer, list) and len(answer) == count and {bytes, type(None)}.issuperset(map(type, answer)):
        return answer
    raise ValueError(f"not {count} strings")


def _ms(seconds: float) -> int:
    return max(int(seconds * 1000), 1)
