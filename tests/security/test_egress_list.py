"""The URLs of egress_urls.json: refused or accepted over REST, and judged again at each delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from monitor.adapters.egress.guard import EgressPolicy, parse_target
from monitor.adapters.egress.resolver import Resolver
from monitor.adapters.egress.sender import HttpSender
from monitor.bootstrap.container import Container
from monitor.domain.errors import UrlRefused
from monitor.domain.vocab import ErrorKind
from monitor.settings.schema import Egress
from tests import servers
from tests.integration.raw_receivers import answering, receiver
from tests.integration.sender.support import LOCAL, request
from tests.integration.support import Api, assert_problem, served, settings
from tests.security.lists import id_of, read

CASES: list[dict[str, Any]] = read("egress_urls.json")
POLICY = EgressPolicy(self_hosts=("hooks.self.example.com",))


@pytest.fixture(scope="module")
async def api(postgres: servers.Postgres) -> AsyncIterator[Api]:
    """The API on a socket, with the egress policy of production."""
    async with (
        postgres.database() as dsn,
        Container(settings(dsn, egress=Egress(self_hosts=POLICY.self_hosts))) as parts,
        served(parts) as api,
    ):
        yield api


@pytest.mark.attacks("egress_urls.json, over REST")
@pytest.mark.parametrize("case", CASES, ids=id_of)
async def test_a_url_is_registered_or_refused(case: dict[str, Any], api: Api) -> None:
    answer = await api.post("webhooks", json={"name": "n", "url": case["url"]})
    if case["stage"] != "parse":
        # What only a lookup or an answer shows is refused at the delivery.
        assert answer.status_code == 201
    elif len(case["url"]) > 2048 or "\x00" in case["url"]:
        assert_problem(answer, 422, "invalid")
    else:
        problem = assert_problem(answer, 422, "url_refused")
        assert [error["pointer"] for error in problem["errors"]] == ["/url"]


@pytest.mark.attacks("egress_urls.json, at a delivery")
@pytest.mark.parametrize("case", [case for case in CASES if case["stage"] != "parse"], ids=id_of)
async def test_a_registered_url_is_judged_at_each_delivery(case: dict[str, Any]) -> None:
    if case["stage"] == "response":
        await _check_redirect(case)
        return
    answers = [list(answer) for answer in case.get("dns_sequence", [case.get("dns", [])])]

    async def lookup(_host: str) -> Sequence[str]:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    resolver, target = Resolver(POLICY, lookup=lookup), parse_target(case["url"], POLICY)
    if case["verdict"] == "allow":
        dialled = case.get("dns", [target.ip])
        assert await resolver.addresses(target) == tuple(ip.removeprefix("::ffff:") for ip in dialled)
        return
    for _ in range(len(answers) - 1):
        assert await resolver.addresses(target)
    with pytest.raises(UrlRefused) as refused:
        await resolver.addresses(target)
    assert refused.value.reason == case["reason"]


async def _check_redirect(case: dict[str, Any]) -> None:
    sent = case["responds"]
    head = f"HTTP/1.1 {sent['status']} Go\r\nLocation: {sent['location']}\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(head.encode())) as there, HttpSender(LOCAL) as sender:
        outcome = await sender.send(request(there.url()))
        assert len(there.requests) == 1
    assert (outcome.status_code, outcome.error) == (sent["status"], ErrorKind.STATUS)
