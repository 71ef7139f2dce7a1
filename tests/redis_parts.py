"""
Redis as it is run, from Debian's programs: a master with a replica under three Sentinels, a cluster, and one with TLS.
All on free ports of loopback, in temporary directories, and without persistence.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from redis.exceptions import RedisError

from monitor.adapters.clock import SystemClock
from tests import servers
from tests.integration.support import eventually

# Not that of a wheel, which has neither TLS nor Sentinel.
SERVER = shutil.which("redis-server", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin") or "redis-server"
MASTER_NAME = "monitor-cache"
DOWN_AFTER_MS = 700
NODE_TIMEOUT_MS = 2000
START_S = 60.0
"""How long what takes a second may take on a machine that is busy with other things."""


class Node:
    """One server process on a port of its own, which may be killed and started again as it was."""

    def __init__(self, port: int, directory: Path, *options: str, config: str = "") -> None:
        self.port = port
        self._directory = directory
        self._config = directory / f"{port}.conf"
        self._config.write_text(f"port {port}\nbind 127.0.0.1\nsave ''\nlogfile {directory}/{port}.log\n{config}")
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(SERVER, str(self._config), *self._options, "--dir", str(self._directory)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        await eventually(lambda: servers.accepts(self.port), within_s=START_S)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process is not None and self.runs:
            self._process.kill()
            await self._process.wait()

    def client(self, **options: Any) -> Any:
        return Redis(host="127.0.0.1", port=self.port, decode_responses=True, **options)

    async def ask(self, *command: str | int) -> Any:
        """Return the answer to *command*."""
        async with self.client() as client:
            return await client.execute_command(*command)


class SentinelSet:
    """A master and a replica, and three Sentinels of which two decide. ``url`` is that of Monitor."""

    def __init__(self, nodes: list[Node], sentinels: list[Node], watched: str) -> None:
        self.watched = watched
        """In the configuration of each Sentinel."""
        self.nodes = nodes
        self.sentinels = sentinels
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        self.url = f"redis+sentinel://{hosts}/{MASTER_NAME}/0"

    async def master(self) -> Node:
        """Return the node that the first Sentinel names."""
        _, port = await self.sentinels[0].ask("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return next(node for node in self.nodes if node.port == int(port))

    async def fail_over(self, _name: str = "") -> Node:
        """Kill the master; return its successor once all Sentinels name it and it takes writes."""
        before = await self.master()
        await before.kill()
        successor = next(node for node in self.nodes if node is not before)

        async def agreed() -> bool:
            named = [await sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER_NAME) for sentinel in self.sentinels]
            return {int(port) for _, port in named} == {successor.port} and await _is_master(successor)

        await eventually(agreed, within_s=START_S)
        return successor

    async def revive(self, node: Node) -> None:
        """Start *node* again; return once it is a replica in step with the master."""
        await node.start()
        await eventually(lambda: _is_in_step(node), within_s=START_S)


@asynccontextmanager
async def sentinel_set() -> AsyncIterator[SentinelSet]:
    async with _nodes() as start:
        master = await start()
        replica = await start(f"replicaof 127.0.0.1 {master.port}\n")
        await eventually(lambda: _is_in_step(replica), within_s=START_S)
        watched = (
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master.port} 2\n"
            f"sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {MASTER_NAME} 4000\n"
        )
        sentinels = [await start(watched, "--sentinel") for _ in range(3)]

        async def complete() -> bool:
            states = [await each.ask("SENTINEL MASTER", MASTER_NAME) for each in sentinels]
            return all((state["num-other-sentinels"], state["num-slaves"]) == (2, 1) for state in states)

        await eventually(complete, within_s=START_S)
        yield SentinelSet([master, replica], sentinels, watched)


class Cluster:
    """Three masters, each with a replica. ``url`` is that of Monitor."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"

    async def owner(self, name: str) -> Node:
        """Return the node that has the slot of *name*, as another one that runs says."""
        return await self._owner(next(node for node in self.nodes if node.runs), name)

    async def fail_over(self, name: str) -> Node:
        """Kill the master of *name*; return its successor once all nodes name it and take commands."""
        before = await self.owner(name)
        await before.kill()
        left = [node for node in self.nodes if node.runs]

        async def agreed() -> bool:
            owners = {await self._owner(node, name) for node in left}
            states = [await node.ask("CLUSTER INFO") for node in left]
            return len(owners) == 1 and owners != {before} and all(state["cluster_state"] == "ok" for state in states)

        await eventually(agreed, within_s=START_S)
        return await self.owner(name)

    async def _owner(self, asked: Node, name: str) -> Node:
        slot = await asked.ask("CLUSTER KEYSLOT", name)
        ranges = await asked.ask("CLUSTER SLOTS")
        port = next(master[1] for first, last, master, *_ in ranges if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    config = f"cluster-enabled yes\ncluster-node-timeout {NODE_TIMEOUT_MS}\n"
    async with _nodes() as start:
        # Nodes talk to each other on the port 10,000 above, which has to be one.
        nodes = [await start(f"{config}cluster-config-file {number}.nodes\n", below=50_000) for number in range(6)]
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        made = await asyncio.create_subprocess_exec(
            *("redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await made.communicate()
        assert made.returncode == 0, said.decode()

        async def whole() -> bool:
            states = [await node.ask("CLUSTER INFO") for node in nodes]
            ranges = [await node.ask("CLUSTER SLOTS") for node in nodes]
            return all(state["cluster_state"] == "ok" for state in states) and all(
                len(each) == 3 and all(len(one) == 4 for one in each) for each in ranges
            )

        await eventually(whole, within_s=START_S)
        yield Cluster(nodes)


@asynccontextmanager
async def single(config: str = "", *options: str) -> AsyncIterator[Node]:
    async with _nodes() as start:
        yield await start(config, *options)


class Certificates:
    """Files of a CA of one's own, and of a server's and a client's certificate by it."""

    def __init__(self, directory: Path) -> None:
        self.ca = directory / "ca.pem"
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        self.ca.write_bytes(self._sign(self._name, self._key, ca=True))
        self.server = self._issue("server")
        self.client = self._issue("client")

    def _issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool = False) -> bytes:
        now = SystemClock().now()
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)


class Secured:
    """A server that takes TLS alone, and a client certificate. *query* is that of the URLs to it."""

    def __init__(self, port: int, certificates: Certificates) -> None:
        self.port = port
        self.certificates = certificates
        certificate, key = certificates.client
        self.query = f"ssl_ca_certs={certificates.ca}&ssl_certfile={certificate}&ssl_keyfile={key}"

    def url(self, login: str = "", query: str | None = None) -> str:
        return f"rediss://{login}127.0.0.1:{self.port}/0?{self.query if query is None else query}"


@contextmanager
def secured() -> Iterator[Secured]:
    port = servers.free_port()
    with tempfile.TemporaryDirectory(prefix="monitor-redis-", dir="/tmp") as directory:
        certificates = Certificates(Path(directory))
        certificate, key = certificates.server
        command = [
            *(SERVER, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file"),
            str(certificates.ca),
        ]
        with servers._process(command, lambda: servers.accepts(port)):
            yield Secured(port, certificates)


Start = Callable[..., Awaitable[Node]]


@asynccontextmanager
async def _nodes() -> AsyncIterator[Start]:
    """Yield a function that starts a node; all end with the block."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="monitor-redis-", dir="/tmp")))

        async def start(config: str = "", *options: str, below: int = 65_536) -> Node:
            while (port := servers.free_port()) >= below:
                pass
            node = Node(port, directory, *options, config=config)
            stack.push_async_callback(node.kill)
            await node.start()
            return node

        yield start


async def _is_master(node: Node) -> bool:
    try:
        return bool((await node.ask("INFO", "replication"))["role"] == "master")
    except (RedisError, OSError):
        return False


async def _is_in_step(node: Node) -> bool:
    try:
        said = await node.ask("INFO", "replication")
    except (RedisError, OSError):
        return False
    return bool(said["role"] == "slave" and said["master_link_status"] == "up")
