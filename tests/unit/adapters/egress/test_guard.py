"""The URL parser and the address table, against the attack list and against the rule it samples."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.egress.guard import (
    FORBIDDEN_NETWORKS,
    GLOBAL_UNICAST_V6,
    EgressPolicy,
    check_address,
    parse_target,
)
from monitor.domain.errors import UrlRefused

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[3] / "cases" / "egress_urls.json").read_text())
PUBLIC = EgressPolicy(self_hosts=("hooks.self.example.com",))
LOCAL = EgressPolicy(profile="local")
OPENED = EgressPolicy(allow_cidrs=("10.20.0.0/16", "fd00:20::/32"))


def reason_of(url: str, policy: EgressPolicy = PUBLIC) -> str:
    try:
        parse_target(url, policy)
    except UrlRefused as refused:
        return refused.reason if refused.detail else "no detail"
    return "ok"


def admits(ip: str, policy: EgressPolicy = PUBLIC, *, allowed_only: bool = False) -> bool:
    try:
        check_address(ip, policy, allowed_only=allowed_only)
    except UrlRefused as refused:
        if refused.reason != "ip_not_public":
            raise
        return False
    return True


@pytest.mark.parametrize("case", [c for c in CASES if c["stage"] == "parse"], ids=lambda c: c["id"])
def test_every_listed_attack_on_the_parser_is_refused_for_its_reason(case: dict[str, Any]) -> None:
    assert reason_of(case["url"]) == case["reason"]


@pytest.mark.parametrize("case", [c for c in CASES if c["stage"] != "parse"], ids=lambda c: c["id"])
def test_every_other_listed_url_passes_the_parser(case: dict[str, Any]) -> None:
    assert reason_of(case["url"]) == "ok"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "bad_url"),
        ("https://example.com/" + "a" * 2_029, "bad_url"),
        ("https://example.com/ä", "bad_url"),
        ("https://example.com/%zz", "bad_url"),
        ("https://example.com/a\x00", "bad_url"),
        ("//example.com/", "scheme"),
        ("http://example.com/", "scheme"),
        ("https:/example.com/", "bad_host"),
        ("https:///etc/passwd", "bad_host"),
        ("https://[::1/", "bad_host"),
        ("https://[127.0.0.1]/", "bad_host"),
        ("https://[::1]x/", "bad_host"),
        ("https://127.0.0.1./", "bad_host"),
        ("https://0X7F.1/", "bad_host"),
        ("https://a.0x/", "bad_host"),
        ("https://a_b.example.com/", "bad_host"),
        ("https://xn--zz-zz99999.com/", "bad_host"),
        ("https://ab--cd.com/", "bad_host"),
        ("https://example.com:/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:80/", "port"),
        ("https://LOCALHOST./", "special_name"),
        ("https://nas.home.arpa/", "special_name"),
        ("https://Hooks.Self.Example.Com./", "special_name"),
        ("https://[::ffff:10.0.0.1]:8443/", "ip_not_public"),
        ("https://@example.com/", "userinfo"),
        ("https://example.com/#", "fragment"),
    ],
)
def test_relatives_of_the_listed_attacks_are_refused(url: str, reason: str) -> None:
    assert reason_of(url) == reason


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTPS://Example.COM", "https://example.com/"),
        ("https://example.com.:443?x=1", "https://example.com/?x=1"),
        ("https://example.com:8443/a/../b?c=%2F", "https://example.com:8443/a/../b?c=%2F"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://[::ffff:8.8.8.8]/", "https://8.8.8.8/"),
        ("https://example.com/?next=a:b@c/d", "https://example.com/?next=a:b@c/d"),
    ],
)
def test_an_accepted_url_has_one_canonical_form(url: str, canonical: str) -> None:
    target = parse_target(url, PUBLIC)
    assert target.url == canonical
    assert parse_target(canonical, PUBLIC) == target


def test_the_parts_of_a_target_are_canonical() -> None:
    target = parse_target("https://[2606:4700::A]:8443/x?y=1", PUBLIC)
    assert (target.scheme, target.host, target.port, target.path_query, target.ip) == (
        "https", "2606:4700::a", 8443, "/x?y=1", "2606:4700::a",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9000/hook", "ok"),
        ("http://[::1]:9000/hook", "ok"),
        ("http://localhost:9000/hook", "ok"),
        ("https://[::ffff:127.0.0.1]/", "ok"),
        ("http://example.com:8080/", "ok"),
        ("http://10.0.0.1/", "ip_not_public"),
        ("http://0.0.0.0/", "ip_not_public"),
        ("http://169.254.169.254/", "ip_not_public"),
        ("http://redis:6379/", "special_name"),
        ("http://foo.localhost/", "special_name"),
        ("ftp://localhost/", "scheme"),
    ],
)
def test_the_local_profile_opens_loopback_and_nothing_else_inside(url: str, reason: str) -> None:
    assert reason_of(url, LOCAL) == reason


def test_who_gives_another_scheme_hears_of_both() -> None:
    with pytest.raises(UrlRefused, match=r"https://, or http://"):
        parse_target("ftp://localhost/", LOCAL)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://10.20.1.2:9000/", "ok"),
        ("https://[fd00:20::5]:9000/", "ok"),
        ("http://10.21.0.1:9000/", "scheme"),
        ("https://10.21.0.1/", "ip_not_public"),
        ("https://10.21.0.1:9000/", "port"),
        ("http://8.8.8.8/", "scheme"),
        ("http://127.0.0.1/", "scheme"),
    ],
)
def test_an_allowed_network_may_be_reached_by_http_and_on_any_port(url: str, reason: str) -> None:
    assert reason_of(url, OPENED) == reason


@pytest.mark.parametrize(
    "url",
    [
        "http://orders.svc:9000/", "https://example.com:9000/", "http://example.com/", "http://my_service:8080/",
        "https://_a_.example.com/",
    ],
)  # fmt: skip
def test_a_name_that_only_an_allowed_network_justifies_is_marked_so(url: str) -> None:
    assert parse_target(url, OPENED).allowed_only
    assert not parse_target("https://example.com/", OPENED).allowed_only


@pytest.mark.parametrize("policy", [PUBLIC, LOCAL])
@pytest.mark.parametrize("url", ["http://my_service:8080/", "https://a_b.example.com/"])
def test_a_name_with_underscores_is_refused_with_the_setting_that_opens_it(url: str, policy: EgressPolicy) -> None:
    with pytest.raises(UrlRefused, match="MONITOR_EGRESS__ALLOW_CIDRS") as refused:
        parse_target(url, policy)
    assert refused.value.reason == "bad_host"


def test_allowed_only_admits_the_allowed_networks_alone() -> None:
    assert admits("10.20.3.4", OPENED, allowed_only=True)
    assert not admits("8.8.8.8", OPENED, allowed_only=True)
    assert not admits("fd00:20::1%eth0", OPENED)


def test_our_own_host_stays_closed_even_in_an_allowed_network() -> None:
    policy = EgressPolicy(allow_cidrs=("10.20.0.0/16",), self_hosts=("10.20.0.9", "Monitor.svc"))
    assert reason_of("http://10.20.0.9/", policy) == "special_name"
    assert reason_of("http://monitor.svc/", policy) == "special_name"


@pytest.mark.parametrize("listed", ["10.20.0.9", "2600:0:0::0001", "[2600::1]", "::ffff:10.20.0.9"])
def test_our_own_address_stays_closed_under_any_name(listed: str) -> None:
    policy = EgressPolicy(allow_cidrs=("10.20.0.0/16", "2600::/32"), self_hosts=(listed,))
    address = "2600::1" if "2600" in listed else "10.20.0.9"
    assert reason_of(f"http://{f'[{address}]' if ':' in address else address}/", policy) == "special_name"
    # What another name may resolve to.
    assert not admits(address, policy)
    assert not admits(address, policy, allowed_only=True)
    assert admits("10.20.0.10", policy)


def test_a_policy_refuses_what_is_not_a_network() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        EgressPolicy(allow_cidrs=("10.0.0.1/8",))


def test_a_mapped_address_is_dialled_as_its_ipv4() -> None:
    assert check_address("::ffff:93.184.215.14", PUBLIC) == "93.184.215.14"


@given(st.sampled_from(FORBIDDEN_NETWORKS).flatmap(lambda n: st.ip_addresses(network=n)))
def test_no_address_of_a_forbidden_network_is_admitted(ip: IPv4Address | IPv6Address) -> None:
    """For every forbidden network and every address in it: refused, as itself and IPv4-mapped."""
    assert not admits(str(ip))
    if isinstance(ip, IPv4Address):
        assert not admits(f"::ffff:{ip}")
        assert reason_of(f"https://{ip}/") == "ip_not_public"


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_ipv6_outside_global_unicast_is_refused(ip: IPv6Address) -> None:
    """For every IPv6 address outside 2000::/3 that maps no IPv4 one: refused."""
    if ip not in GLOBAL_UNICAST_V6 and ip.ipv4_mapped is None:
        assert not admits(str(ip))


@pytest.mark.parametrize("network", FORBIDDEN_NETWORKS, ids=str)
def test_the_neighbours_of_a_forbidden_network_follow_the_table(network: Any) -> None:
    """The address before the first and after the last one is refused only if it is in another forbidden range."""
    for value in (int(network.network_address) - 1, int(network.broadcast_address) + 1):
        if not 0 <= value < 2**network.max_prefixlen or (network.version == 6 and value < 2**32):
            continue
        ip = ip_address(value)
        outside = ip.version == 6 and ip not in GLOBAL_UNICAST_V6
        assert admits(str(ip)) == (not outside and not any(ip in other for other in FORBIDDEN_NETWORKS))


@given(st.one_of(st.text(), st.text(alphabet="htps:/[]@.:%#?0x1xn-\\ aé。").map("https://".__add__)))
def test_the_parser_raises_nothing_but_its_refusal(text: str) -> None:
    """For any text: a refusal with a reason, or a target that parses to itself."""
    for policy in (PUBLIC, LOCAL, OPENED):
        try:
            target = parse_target(text, policy)
        except UrlRefused:
            continue
        assert parse_target(target.url, policy) == target


@given(st.text())
def test_the_address_check_raises_nothing_but_its_refusal(text: str) -> None:
    """For any text: admitted only if it is an address."""
    if admits(text):
        ip_address(text)
