"""One look at Redis, for commands as they start: what it refuses, in its own words, and what to do."""

from __future__ import annotations

import os
import re
import secrets
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from monitor.adapters.redis.endpoint import Endpoint, SentinelSet, endpoint
from monitor.domain.errors import Unavailable

NAME = "MONITOR_REDIS_URL"
FORMS = (
    "redis://user:password@host:6379/0, redis+sentinel://user:password@host1:26379,host2:26379/master-name/0"
    " or redis+cluster://user:password@host1:6379,host2:6379; rediss instead of redis for TLS"
)
_CONNECT = re.compile(r"Connect call failed \(.*\)")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")

_NESTED = re.compile("NOPERM|ACL|user executing the script")
"""In the words for a command that the user may not call, in a script or to end a transaction."""

# One for each type: processes that start at the same time use the same ones.
_KEY, _HASH, _SET, _STREAM = (f"{{monitor:check}}:{kind}" for kind in ("key", "hash", "set", "stream"))
_CHANNEL, _SCRIPT = "{monitor:cache:check}:bus", "return redis.call('TIME')[1]"
_PROBES: tuple[tuple[str | int, ...], ...] = (
    ("INFO", "server"),
    ("MGET", _KEY),
    ("SET", _KEY, "1", "PX", 1000),
    ("GET", _KEY),
    ("TYPE", _KEY),
    ("DEL", _KEY),
    ("HSET", _HASH, "seq", 1),
    ("HMGET", _HASH, "seq"),
    ("HINCRBY", _HASH, "seq", 1),
    ("DEL", _HASH),
    ("ZADD", _SET, 0, "member"),
    ("ZRANGEBYSCORE", _SET, 0, 1),
    ("ZREM", _SET, "member"),
    ("XADD", _STREAM, "*", "entry", "1"),
    ("XREAD", "COUNT", 1, "STREAMS", _STREAM, "0"),
    ("XREVRANGE", _STREAM, "+", "-", "COUNT", 1),
    ("DEL", _STREAM),
    ("PUBLISH", _CHANNEL, "check"),
    ("EVAL", _SCRIPT, 0),
    ("SCRIPT LOAD", _SCRIPT),
    ("EVALSHA", "0" * 40, 0),
    ("MULTI",),
    ("EXEC",),
    # The last, since nothing else can be sent behind it.
    ("SUBSCRIBE", _CHANNEL),
)
"""Each command that Monitor sends, on names of the form that it uses; leaves nothing behind."""

_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (OutOfMemoryError, "give it more memory, or a policy that evicts: maxmemory-policy allkeys-lru"),
    (MovedError, "it is a node of a cluster; write redis+cluster://"),
    (ReadOnlyError, "it is a replica; write the address of the master, or redis+sentinel://"),
    (BusyLoadingError, "try again in a moment"),
    (ClusterDownError, "check the nodes: redis-cli --cluster check"),
)
_PASSING = (ReadOnlyError, OutOfMemoryError, BusyLoadingError, ClusterDownError, AskError, TryAgainError)


class RedisRefused(Exception):
    """Redis answers and refuses, which does not pass by itself. The text is one line with its words and what to do."""


async def ping(url: str, *, within_s: float) -> str:
    """
    Return what has answered, in a few words, once Redis has taken every command that Monitor sends.

    Raises:
        RedisRefused: it refuses the login, the database number, TLS or a command; or *url* cannot be read.
        Unavailable: it does not answer within *within_s*, is starting, or takes no writes now.
    """
    try:
        at = endpoint(url, lambda: _KEY, within_s=within_s)
        client = _client(at, within_s)
    except ValueError:
        # The driver's words may hold a part of the password.
        raise RedisRefused(f"{NAME} cannot be read; write {FORMS}.") from None
    try:
        where = await _found(at)
        await _probe(client)
    except TypeError:
        raise RedisRefused(f"{NAME} has an option that Redis's driver lacks; ssl_ options need rediss://.") from None
    except (RedisError, OSError) as error:
        raise _judged(error, url) from None
    finally:
        await client.aclose()
    return where


async def open_users(url: str, *, within_s: float) -> list[str]:
    """
    Return which of ``default`` and the user of *url* logs in with any password, as one with ``nopass`` does.

    Empty, too, if Redis has gone away since :func:`ping`. It records each refused try in its ``ACL LOG``.
    """
    at = endpoint(url, lambda: _KEY, within_s=within_s)
    client = _client(at, within_s)
    found = []
    try:
        connection = await client.connection_pool.get_connection()
        try:
            for user in sorted({"default", unquote(urlsplit(at.url).username or "default")}):
                try:
                    await connection.send_command("AUTH", user, secrets.token_urlsafe(24))
                    await connection.read_response()
                except AuthenticationError:
                    continue
                found.append(user)
        finally:
            # It may be logged in as another user.
            await connection.disconnect()
            await client.connection_pool.release(connection)
    except (RedisError, OSError):
        return []
    finally:
        await client.aclose()
    return found


def is_open_to_others(url: str) -> bool:
    """Whether a password matters: *url* has one, or Redis is on another machine."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return False
    return bool(parts.password) or any(
        urlsplit(f"//{host}").hostname not in _LOOPBACK for host in parts.netloc.rpartition("@")[2].split(",")
    )


def _client(at: Endpoint, within_s: float) -> Any:
    return Redis.from_url(
        at.url,
        protocol=2,
        socket_timeout=within_s,
        socket_connect_timeout=within_s,
        retry=Retry(NoBackoff(), 0),
        **at.options,
    )


async def _found(at: Endpoint) -> str:
    """Return which server it is. Raises the driver's errors, and what :func:`ping` raises for Sentinels' answers."""
    if at.find is None:
        return "answers"
    try:
        host, port = await at.find()
    except MasterNotFoundError:
        # Not here: what is raised inside a handler loses its cause, which has the words of the system.
        pass
    else:
        return f"answers; {at.name or 'the node of the cluster'} is at {host}:{port}"
    assert isinstance(at.find, SentinelSet)
    names = await at.find.names()
    if at.name in names:
        raise Unavailable(f"{NAME}: Sentinel has no master of {at.name!r} that is up; wait, or check Redis.")
    others = ", ".join(map(repr, sorted(names))) or "none"
    raise RedisRefused(f"{NAME}: Sentinel has no master named {at.name!r}; correct the name, it has: {others}.")


async def _probe(client: Any) -> None:
    """Raises the first error; if it is one of permission, one with the names of all the commands concerned."""
    connection = await client.connection_pool.get_connection()
    try:
        await connection.send_command("PING")
        await connection.read_response()
        refused: dict[str, NoPermissionError] = {}
        for command in _PROBES:
            name = str(command[0])
            try:
                await connection.send_command(*command)
                await connection.read_response()
            except NoPermissionError as error:
                refused.setdefault(name, error)
            except ResponseError as error:
                if _NESTED.search(str(error)):
                    refused.setdefault("TIME" if name == "EVAL" else name, NoPermissionError(str(error)))
                    continue
                # Without MULTI, EXEC is an error; the script of that digest is not there; and a key that DEL left.
                if name not in ("EXEC", "EVALSHA") and not refused:
                    raise
        if refused:
            words = _line(next(iter(refused.values())))
            raise NoPermissionError(f"{words} ({', '.join(refused)})")
    finally:
        # It may be subscribed.
        await connection.disconnect()
        await client.connection_pool.release(connection)


def _judged(error: Exception, url: str) -> RedisRefused | Unavailable:
    line = f"{NAME}: {_line(error)}"
    if isinstance(error, AuthenticationError | AuthorizationError):
        sentinel = ", or sentinel_username and sentinel_password in its query" if "+sentinel:" in url else ""
        return RedisRefused(f"{line}; correct its user and password{sentinel}.")
    if isinstance(error, NoPermissionError):
        return RedisRefused(f"{line}; give its user the rights that DEPLOYMENT_CHECKLIST lists in section 3.")
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), None)
    if isinstance(error, MovedError) or (isinstance(error, ResponseError) and not isinstance(error, _PASSING)):
        return RedisRefused(f"{line}; {remedy or _other_form(str(error))}.")
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return RedisRefused(f"{line}; rediss:// needs a Redis with TLS; ssl_ca_certs=FILE names a CA of yours.")
    tls = " and has TLS" if url.startswith("rediss") else ""
    return Unavailable(f"{line}; {remedy or f'check its host and port, and that Redis runs there{tls}'}.")


def _other_form(words: str) -> str:
    if "cluster support disabled" in words:
        return "it is no cluster; write redis://"
    if "unknown command" in words:
        return "if it is Sentinel, write redis+sentinel://; it must be Redis 6.2 or newer"
    return "correct its database number, or what its user may do"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: Exception) -> str:
    """Return the words of *error*, and those of the system where its function is named instead."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    number = next((cause.errno for cause in _causes(error) if isinstance(cause, OSError) and cause.errno), None)
    return _CONNECT.sub(os.strerror(number), text) if number else text
