"""
Where Redis is: at one address, at that of the master that Sentinel names, or on the node that has our slot.

The last two are looked up for each new connection, and a failure costs the connections that are open. So whatever
happens to a server, everything above sees a single Redis that was away and is another one afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec
from redis.asyncio import Redis, SSLConnection
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from monitor.adapters.tcp import KEEPALIVE

FIND_S = 0.1
"""How long connecting to one Sentinel or node takes at most, and as long its answer."""

HANDSHAKE_S = 0.4
"""How much longer connecting may take with TLS: the driver reads the certificates for each connection."""

SENTINEL_PORT, NODE_PORT = 26379, 6379

Address = tuple[str, int]
Find = Callable[[], Awaitable[Address]]


class Endpoint(msgspec.Struct, frozen=True):
    """What the driver needs: a URL that it reads, and options of the connections."""

    url: str
    options: Mapping[str, Any]
    find_s: float = 0.0
    """The longest look-up."""
    handshake_s: float = 0.0
    """How much longer than to a plain socket connecting may take."""
    find: Find | None = None
    """Looks the address up, where it is not that of *url*. Raises the driver's errors."""
    name: str = ""
    """Of the master, as Sentinel has it."""


def endpoint(url: str, key: Callable[[], str] = str, *, within_s: float = FIND_S) -> Endpoint:
    """
    Return how to connect to *url*.

    Args:
        key: returns a name in the slot whose node is looked for in a cluster; may raise the driver's error.

    Raises:
        ValueError: *url* cannot be read. Its text holds no part of a password.
    """
    parts = urlsplit(url)
    driver, _, form = parts.scheme.partition("+")
    if not form:
        return Endpoint(url, _keepalive(url), handshake_s=HANDSHAKE_S if driver == "rediss" else 0.0)
    login, at, rest = parts.netloc.rpartition("@")
    hosts = [_address(host, SENTINEL_PORT if form == "sentinel" else NODE_PORT) for host in rest.split(",")]
    name, _, database = parts.path.strip("/").partition("/")
    if form == "cluster":
        name, database = "", name
    elif not name:
        raise ValueError("it lacks the name of the master")
    if not (database or "0").isdigit() or (form == "cluster" and int(database or 0)):
        raise ValueError("its database number is not one")
    query = dict(parse_qsl(parts.query))
    sentinel_login = {field: query.pop(f"sentinel_{field}", None) for field in ("username", "password")}
    single = f"redis://{login}{at}{_written(hosts[0])}/{database or 0}?{urlencode(query)}"
    read = cast("dict[str, Any]", parse_url(single))
    node_login = {"username": read.get("username"), "password": read.get("password")}
    looking_up = {
        **{name: value for name, value in read.items() if name.startswith("ssl_")},
        **(sentinel_login if form == "sentinel" else node_login),
        "ssl": driver == "rediss",
        "protocol": 2,
        "socket_timeout": within_s,
        "socket_connect_timeout": within_s + (HANDSHAKE_S if driver == "rediss" else 0.0),
        "retry": Retry(NoBackoff(), 0),
    }
    name = unquote(name)
    find: Find = SentinelSet(hosts, name, looking_up) if name else _Cluster(hosts, key, looking_up)
    kind = _FoundTlsConnection if driver == "rediss" else _FoundConnection
    options = {**_keepalive(url), "connection_class": kind, "find": find}
    handshake_s = HANDSHAKE_S if driver == "rediss" else 0.0
    return Endpoint(single, options, len(hosts) * (2 * within_s + handshake_s), handshake_s, find, name)


def _address(text: str, default_port: int) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("it lacks a host")
    return parts.hostname, parts.port or default_port


def _written(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _keepalive(url: str) -> dict[str, Any]:
    """Return the options by which a connection detects that the network dropped it; none for a local socket."""
    if url.startswith("unix:"):
        return {}
    return {"socket_keepalive": True, "socket_keepalive_options": dict(KEEPALIVE)}


class SentinelSet:
    """Returns the address of the master *name*, from the first Sentinel that has it."""

    def __init__(self, hosts: list[Address], name: str, options: Mapping[str, Any]) -> None:
        self._hosts = hosts
        self._name = name
        self._options = options

    async def __call__(self) -> Address:
        sentinels: Any = Sentinel(self._hosts, sentinel_kwargs=dict(self._options))  # type: ignore[no-untyped-call]
        async with sentinels:
            host, port = await sentinels.discover_master(self._name)
            # The one that answered is tried first from now on, so that one that is away costs its time limit once.
            first = sentinels.sentinels[0].connection_pool.connection_kwargs
            answered = first["host"], first["port"]
            self._hosts = [answered, *(each for each in self._hosts if each != answered)]
            return str(host), int(port)

    async def names(self) -> set[str]:
        """Return the names of the masters, from the first Sentinel that answers. Raises the driver's errors."""
        failure: Exception = RedisConnectionError("no Sentinel answers")
        for host, port in self._hosts:
            try:
                node: Any = Redis(host=host, port=port, **self._options)
                async with node:
                    return set(await node.sentinel_masters())
            except (RedisError, OSError) as error:
                failure = error
        raise failure


class _Cluster:
    """Returns the address of the node that has the slot of *key*, by one node after another: a view may be old."""

    def __init__(self, hosts: list[Address], key: Callable[[], str], options: Mapping[str, Any]) -> None:
        self._hosts = deque(hosts)
        self._key = key
        self._options = options

    async def __call__(self) -> Address:
        slot, failure = key_slot(self._key().encode()), None
        for host, port in list(self._hosts):
            self._hosts.rotate(-1)
            try:
                node: Any = Redis(host=host, port=port, **self._options)
                async with node:
                    ranges = await node.execute_command("CLUSTER SLOTS")
            except (RedisError, OSError) as error:
                failure = error
                continue
            for first, last, (found, at_port, *_), *_replicas in ranges:
                if first <= slot <= last:
                    return found.decode() if found else host, int(at_port)
            failure = RedisConnectionError(f"no node of the cluster has the slot {slot}")
        assert failure is not None
        raise failure


class _FoundConnection(Connection):
    """A connection to the address that *find* returns as it is made."""

    def __init__(self, *, find: Find, **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    async def _connect(self) -> None:
        self.host, self.port = await self._find()
        await super()._connect()  # type: ignore[no-untyped-call]


class _FoundTlsConnection(_FoundConnection, SSLConnection):
    """The same over TLS; the certificate is checked against the address as it was found."""
