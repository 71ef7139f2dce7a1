"""One look at Redis, for commands as they start: what it refuses, in its own words, and what to do."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, RedisError, ResponseError

from monitor.domain.errors import Unavailable

NAME = "MONITOR_REDIS_URL"
_CONNECT = re.compile(r"Connect call failed \(.*\)")


class RedisRefused(Exception):
    """Redis answers and refuses, which does not pass by itself. The text is one line with its words and what to do."""


async def ping(url: str, *, within_s: float) -> None:
    """
    Return when Redis has answered.

    Raises:
        RedisRefused: it refuses the login, the database number, TLS or the command; or *url* cannot be read.
        Unavailable: it does not answer within *within_s*, or is starting.
    """
    try:
        client = Redis.from_url(
            url, socket_timeout=within_s, socket_connect_timeout=within_s, retry=Retry(NoBackoff(), 0)
        )
    except ValueError:
        # The driver's words may hold a part of the password.
        raise RedisRefused(f"{NAME} cannot be read; write redis://user:password@host:6379/0.") from None
    try:
        await client.ping()
    except (AuthenticationError, AuthorizationError) as error:
        raise RedisRefused(f"{NAME}: {_line(error)}; correct its user and password.") from None
    except ResponseError as error:
        raise RedisRefused(f"{NAME}: {_line(error)}; correct its database number, or what its user may do.") from None
    except (RedisError, OSError) as error:
        if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
            raise RedisRefused(f"{NAME}: {_line(error)}; rediss:// needs a Redis with TLS.") from None
        tls = " and has TLS" if url.startswith("rediss://") else ""
        remedy = f"check its host and port, and that Redis runs there{tls}"
        if isinstance(error, BusyLoadingError):
            remedy = "try again in a moment"
        raise Unavailable(f"{NAME}: {_line(error)}; {remedy}.") from None
    finally:
        await client.aclose()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: Exception) -> str:
    """Return the words of *error*, and those of the system where they name its function instead."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    number = next((cause.errno for cause in _causes(error) if isinstance(cause, OSError) and cause.errno), None)
    return _CONNECT.sub(os.strerror(number), text) if number else text
