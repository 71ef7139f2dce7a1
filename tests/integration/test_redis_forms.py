"""Redis behind TLS, access control, Sentinel and in a cluster: what `monitor doctor` says, and what Monitor needs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.adapters.redis.ping import RedisRefused, is_open_to_others, open_users, ping
from monitor.bootstrap.container import Container
from monitor.cli.doctor import Finding, examine
from monitor.domain.errors import Unavailable
from tests import servers
from tests.integration.support import api_of, eventually, settings
from tests.redis_parts import MASTER_NAME, Cluster, Node, Secured, SentinelSet, cluster, secured, sentinel_set, single
from tests.servers import free_port

pytestmark = pytest.mark.topology

CHECKLIST = Path(__file__).parents[2] / "docs" / "DEPLOYMENT_CHECKLIST.md"
WITHIN_S = 10.0


async def refusal(url: str) -> str:
    with pytest.raises((RedisRefused, Unavailable)) as caught:
        await ping(url, within_s=WITHIN_S)
    error = caught.value
    return error.detail if isinstance(error, Unavailable) else str(error)


async def serves(url: str, database_url: str) -> None:
    """Everything that a process does with Redis works."""
    assert (await ping(url, within_s=WITHIN_S)).startswith("answers")
    async with Container(replace(settings(database_url), redis_url=url)) as parts, api_of(parts) as api:
        await eventually(lambda: parts.cache.stats().trusted)
        assert parts.feed_log is not None
        await parts.feed_log.restart()
        assert parts.rate_ledger is not None
        assert len(await parts.rate_ledger.spend({"ada": 1, "bob": 2})) == 2
        await api.create("http://127.0.0.1:9/hook")
        for _ in range(2):
            assert (await api.get("webhooks")).status_code == 200
        assert parts.cache.stats().pending_invalidations == 0
        assert parts.cache.stats().trusted


# TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls() -> Iterator[Secured]:
    with secured() as server:
        yield server


async def test_tls_with_a_ca_and_a_client_certificate_of_ones_own(tls: Secured, database_url: str) -> None:
    await serves(tls.url(), database_url)


async def test_a_certificate_of_an_unknown_ca_is_refused_with_what_to_do(tls: Secured) -> None:
    said = await refusal(tls.url(query=""))
    assert "certificate" in said.lower()
    assert "ssl_ca_certs" in said


async def test_plain_text_to_a_server_with_tls_is_no_answer(tls: Secured) -> None:
    assert "MONITOR_REDIS_URL" in await refusal(f"redis://127.0.0.1:{tls.port}/0")


async def test_tls_options_without_tls_are_refused() -> None:
    assert "rediss://" in await refusal("redis://127.0.0.1:1/0?ssl_ca_certs=/nowhere")


# Access control ---------------------------------------------------------------------------------------------------


def documented_line() -> list[str]:
    (found,) = re.findall(r"^ACL SETUSER (.*)$", CHECKLIST.read_text(), re.MULTILINE)
    return [part.strip("'") for part in found.split()]


@pytest.fixture
async def locked() -> AsyncIterator[Node]:
    async with single() as node:
        await node.ask("ACL", "SETUSER", *documented_line())
        yield node


def as_monitor(node: Node, path: str = "0") -> str:
    name = documented_line()[0]
    password = next(part[1:] for part in documented_line() if part.startswith(">"))
    return f"redis://{name}:{password}@127.0.0.1:{node.port}/{path}"


async def test_the_user_of_the_checklist_may_do_all_that_monitor_does(locked: Node, database_url: str) -> None:
    await serves(as_monitor(locked), database_url)
    denied = [entry for entry in await locked.ask("ACL", "LOG") if "client setinfo" not in str(entry).lower()]
    assert denied == []


async def test_each_right_of_the_checklist_is_needed_and_doctor_names_it(locked: Node) -> None:
    name, rights = documented_line()[0], [part for part in documented_line() if re.match(r"[~&+]", part)]
    assert len(rights) > 10
    for right in rights:
        if right == "+select":
            # For databases other than 0 only.
            continue
        kept = [part for part in documented_line()[1:] if part != right]
        await locked.ask("ACL", "DELUSER", name)
        await locked.ask("ACL", "SETUSER", name, *kept)
        said = await refusal(as_monitor(locked))
        assert "DEPLOYMENT_CHECKLIST" in said, right
        if right.startswith("+"):
            assert right[1:].partition("|")[0].upper() in said.upper(), right


@pytest.mark.parametrize("user", ["default", "ada"])
async def test_a_user_without_a_password_is_found(user: str) -> None:
    async with single() as node:
        await node.ask("ACL", "SETUSER", "ada", "on", ">right", "~*", "&*", "+@all")
        await node.ask("ACL", "SETUSER", user, "nopass")
        if user != "default":
            await node.ask("ACL", "SETUSER", "default", "resetpass", ">other")
        url = f"redis://ada:right@127.0.0.1:{node.port}/0"
        assert await open_users(url, within_s=WITHIN_S) == [user]
        finding = await doctors_redis(url)
        assert (finding.state, f"takes any password of '{user}'" in finding.text) == ("warning", True)


async def test_a_redis_with_passwords_and_one_of_this_machine_alone_are_well() -> None:
    async with single() as node:
        await node.ask("CONFIG", "SET", "requirepass", "right")
        url = f"redis://:right@127.0.0.1:{node.port}/0"
        assert await open_users(url, within_s=WITHIN_S) == []
        assert (await doctors_redis(url)).state == "ok"
    assert await open_users(url, within_s=WITHIN_S) == []
    async with single() as node:
        # Nobody else reaches it.
        assert (await doctors_redis(f"redis://127.0.0.1:{node.port}/0")).state == "ok"
    assert is_open_to_others("redis+sentinel://127.0.0.1,10.0.0.2/name")
    assert not is_open_to_others("unix:///run/redis.sock")


async def doctors_redis(url: str) -> Finding:
    found = await examine(replace(settings(f"postgresql://127.0.0.1:{free_port()}/none"), redis_url=url))
    return next(finding for finding in found if finding.check == "redis")


# Sentinel ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sentinels() -> AsyncIterator[SentinelSet]:
    async with sentinel_set() as made:
        yield made


async def test_sentinel_is_asked_for_the_master(sentinels: SentinelSet, database_url: str) -> None:
    await serves(sentinels.url, database_url)
    found = await ping(sentinels.url, within_s=WITHIN_S)
    master = await sentinels.master()
    assert found == f"answers; {MASTER_NAME} is at 127.0.0.1:{master.port}"

    wrong = await refusal(sentinels.url.replace(MASTER_NAME, "no-such"))
    assert "'no-such'" in wrong
    assert repr(MASTER_NAME) in wrong
    assert "redis+sentinel://" in await refusal(f"redis://127.0.0.1:{sentinels.sentinels[0].port}/0")
    replica = next(node for node in sentinels.nodes if node is not master)
    assert "replica" in await refusal(f"redis://127.0.0.1:{replica.port}/0")

    # One is enough, with a password of its own.
    for node in sentinels.sentinels:
        await node.kill()
    assert "refused" in (await refusal(sentinels.url)).lower()
    async with single(f"{sentinels.watched}requirepass secret\n", "--sentinel") as last:
        url = f"redis+sentinel://127.0.0.1:{sentinels.sentinels[0].port},127.0.0.1:{last.port}/{MASTER_NAME}"
        assert "sentinel_password" in await refusal(url)
        assert await ping(f"{url}?sentinel_password=secret", within_s=WITHIN_S) == found


# Cluster ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def nodes() -> AsyncIterator[Cluster]:
    async with cluster() as made:
        yield made


async def test_each_part_of_monitor_uses_the_node_of_its_slot(nodes: Cluster, database_url: str) -> None:
    await serves(nodes.url, database_url)
    assert "the node of the cluster is at" in await ping(nodes.url, within_s=WITHIN_S)
    owner = await nodes.owner("{monitor:check}")
    other = next(node for node in nodes.nodes if node is not owner)
    assert "redis+cluster://" in await refusal(f"redis://127.0.0.1:{other.port}/0")


async def test_a_server_that_is_no_cluster_says_so() -> None:
    async with single() as node:
        assert "write redis://" in await refusal(f"redis+cluster://127.0.0.1:{node.port}")


# Anything ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://127.0.0.1:1",
        "redis+sentinel://127.0.0.1:1/name/first",
        "redis+cluster://127.0.0.1:1/1",
        "redis+cluster://",
    ],
)
async def test_a_url_that_cannot_be_read_is_shown_the_forms(url: str) -> None:
    assert "redis+sentinel://user:password@" in await refusal(url)


async def test_a_full_memory_is_named() -> None:
    async with single("maxmemory 1\n") as node:
        assert "maxmemory-policy" in await refusal(f"redis://127.0.0.1:{node.port}/0")


@pytest.mark.parametrize("form", ["redis+sentinel://127.0.0.1:{}/name/0", "redis+cluster://127.0.0.1:{}"])
async def test_where_none_answers_the_words_of_the_system_are_said(form: str) -> None:
    assert "refused" in (await refusal(form.format(servers.free_port()))).lower()
