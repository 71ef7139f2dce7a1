"""What the resolver does with answers, on a lookup function that plays the name server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.egress.guard import EgressPolicy, parse_target
from monitor.adapters.egress.lookup import NoNameServer
from monitor.adapters.egress.resolver import FAILURE_KEPT_S, FAILURES_KEPT, Lookup, Resolver
from monitor.domain.errors import UrlRefused

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[3] / "cases" / "egress_urls.json").read_text())
POLICY = EgressPolicy()


def answering(*answers: Sequence[str]) -> tuple[Lookup, list[str]]:
    """Return a lookup that gives one of *answers* per call, and the list of names it was asked for."""
    asked: list[str] = []

    async def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return lookup, asked


def raising(make: Callable[[], Exception]) -> Lookup:
    async def lookup(host: str) -> Sequence[str]:
        raise make()

    return lookup


async def verdict(url: str, lookup: Lookup, policy: EgressPolicy = POLICY) -> str | tuple[str, ...]:
    try:
        return await Resolver(policy, lookup=lookup).addresses(parse_target(url, policy))
    except UrlRefused as refused:
        return refused.reason


@pytest.mark.parametrize("case", [c for c in CASES if "dns" in c], ids=lambda c: c["id"])
async def test_every_listed_set_of_answers_gets_its_verdict(case: dict[str, Any]) -> None:
    lookup, asked = answering(case["dns"])
    result = await verdict(case["url"], lookup)
    assert len(asked) == 1
    if case["stage"] == "resolve":
        assert result == case["reason"]
    else:
        assert result == tuple(ip.removeprefix("::ffff:") for ip in case["dns"])


@pytest.mark.parametrize("case", [c for c in CASES if "dns_sequence" in c], ids=lambda c: c["id"])
async def test_a_name_that_changes_its_answer_is_judged_anew_each_time(case: dict[str, Any]) -> None:
    lookup, asked = answering(*case["dns_sequence"])
    resolver = Resolver(POLICY, lookup=lookup)
    target = parse_target(case["url"], POLICY)
    assert await resolver.addresses(target) == ("93.184.215.14",)
    assert await resolver.addresses(target) == ("93.184.215.14",)
    with pytest.raises(UrlRefused) as refused:
        await resolver.addresses(target)
    assert refused.value.reason == case["reason"]
    assert len(asked) == 3


async def test_sixteen_answers_are_the_most() -> None:
    sixteen = [f"93.184.215.{n}" for n in range(1, 17)]
    assert await verdict("https://example.com/", answering(sixteen)[0]) == tuple(sixteen)
    assert await verdict("https://example.com/", answering([*sixteen, "93.184.215.17"])[0]) == "dns_failure"


async def test_an_address_needs_no_lookup() -> None:
    lookup, asked = answering([])
    assert await verdict("https://8.8.8.8/", lookup) == ("8.8.8.8",)
    assert asked == []


async def test_a_name_marked_for_allowed_networks_may_not_lead_elsewhere() -> None:
    policy = EgressPolicy(allow_cidrs=("10.20.0.0/16",))
    assert await verdict("http://orders.svc:80/", answering(["10.20.0.1"])[0], policy) == ("10.20.0.1",)
    assert await verdict("http://orders.svc:80/", answering(["10.20.0.1", "8.8.8.8"])[0], policy) == "dns_not_public"


async def test_a_failing_lookup_fails_closed() -> None:
    assert await verdict("https://a.com/", raising(lambda: socket.gaierror(-2, "unknown"))) == "dns_failure"
    assert await verdict("https://a.com/", raising(lambda: UnicodeError("label"))) == "dns_failure"


async def test_a_lookup_that_hangs_is_given_up() -> None:
    async def lookup(host: str) -> Sequence[str]:
        await asyncio.get_running_loop().create_future()
        return []

    resolver = Resolver(POLICY, lookup=lookup, timeout_s=0.02)
    with pytest.raises(UrlRefused) as refused:
        await resolver.addresses(parse_target("https://a.com/", POLICY))
    assert refused.value.reason == "dns_failure"
    await resolver.aclose()
    await resolver.aclose()


async def test_callers_that_wait_for_one_name_share_its_lookup() -> None:
    gate = asyncio.Event()
    asked: list[str] = []

    async def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        await gate.wait()
        return ["93.184.215.14"]

    resolver = Resolver(POLICY, lookup=lookup)
    target = parse_target("https://a.com/", POLICY)
    waiting = [asyncio.create_task(resolver.addresses(target)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [("93.184.215.14",)] * 4
    assert asked == ["a.com"]
    await resolver.addresses(target)
    assert asked == ["a.com", "a.com"]


async def test_a_failure_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup, asked = answering([], ["93.184.215.14"])
    resolver = Resolver(POLICY, lookup=lookup)
    target = parse_target("https://a.com/", POLICY)
    for _ in range(3):
        with pytest.raises(UrlRefused, match=r"a\.com has no address"):
            await resolver.addresses(target)
    assert asked == ["a.com"]
    loop = asyncio.get_running_loop()
    later = loop.time() + FAILURE_KEPT_S
    monkeypatch.setattr(loop, "time", lambda: later)
    assert await resolver.addresses(target) == ("93.184.215.14",)


async def test_so_many_failures_are_remembered_and_no_more() -> None:
    lookup, asked = answering([])
    resolver = Resolver(POLICY, lookup=lookup)
    for number in [*range(FAILURES_KEPT + 1), 0, FAILURES_KEPT]:
        with pytest.raises(UrlRefused):
            await resolver.addresses(parse_target(f"https://n{number}.com/", POLICY))
    assert asked[FAILURES_KEPT:] == [f"n{FAILURES_KEPT}.com"] * 2


async def test_no_name_server_is_another_failure_than_a_name_without_an_address() -> None:
    assert await verdict("https://a.com/", raising(lambda: NoNameServer("away"))) == "dns_unavailable"
    assert await verdict("https://a.com/", raising(lambda: TimeoutError("slow"))) == "dns_failure"
