"""
Which URLs and which addresses a webhook may reach. Pure.

A URL is read once, strictly: two parsers that disagree about it are how a guard is passed, so whatever has a second
spelling is refused, and the request is built from the parts of :class:`Target` alone.

============  ==========================  ==================================  ========================================
profile       scheme and port             names                               addresses
============  ==========================  ==================================  ========================================
``public``    https on 443 or 8443        public ones                         public ones
``local``     http or https on any port   public ones and ``localhost``       public ones, 127.0.0.0/8 and ::1
============  ==========================  ==================================  ========================================

``allow_cidrs`` opens single networks in either profile: a host that is an address of theirs, or a name whose *every*
answer is one, may be reached by http, on any port, and under a special-use name or one with underscores, such as
services of Compose have (``Target.allowed_only``).
``self_hosts`` are our own names and addresses; a delivery to one would loop, so nothing opens these.

Addresses are judged by the table below. ``ipaddress.is_global`` is no substitute: it calls multicast, NAT64 and
6to4 relays public, and its answers change with the Python version.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

import msgspec

from monitor.domain.errors import UrlRefused

MAX_URL_CHARS = 2_048
MAX_NAME_CHARS = 253
PUBLIC_PORTS = frozenset({443, 8443})
DEFAULT_PORTS = {"https": 443, "http": 80}

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

FORBIDDEN_NETWORKS: tuple[IPNetwork, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791); Linux connects it to itself
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # Azure's in-VM platform address, public by registry only
        "169.254.0.0/16",  # link-local and cloud metadata (RFC 3927)
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved and broadcast (RFC 1112)
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking (RFC 2928)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All that IANA hands out as public IPv6 (RFC 4291); the rest of the space is refused unevaluated."""

LOOPBACK_NETWORKS: tuple[IPNetwork, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

SPECIAL_SUFFIXES = frozenset(
    {
        "alt", "example", "invalid", "local", "localhost", "onion", "test",  # RFC 6761, 6762, 7686, 9476
        "arpa",  # infrastructure, home.arpa included (RFC 3172, 8375)
        "corp", "home", "internal", "mail",  # never to be delegated (ICANN 2018-02-04, 2024-07-29)
        "domain", "intranet", "lan", "localdomain", "private", "workgroup",  # private use (RFC 6762 appendix G)
        "cluster", "consul", "docker", "kubernetes", "pod", "svc",  # container and service discovery
    }
)  # fmt: skip
"""Top-level labels that never name a host of the public Internet."""

_ASK = "ask an admin to allow it with MONITOR_EGRESS__ALLOW_CIDRS"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_PATH_AND_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""What makes ``getaddrinfo`` and browsers read a host as an IPv4 address (WHATWG URL, "ends in a number")."""


class EgressPolicy(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What may be reached, see the table above.

    ``allow_cidrs`` are networks such as ``10.20.0.0/16``; ``self_hosts`` the names and addresses under which this
    service is itself reached.

    Raises:
        ValueError: an entry of ``allow_cidrs`` is not a network.
    """

    profile: Literal["public", "local"] = "public"
    allow_cidrs: tuple[str, ...] = ()
    self_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _networks(self.allow_cidrs)


class Target(msgspec.Struct, frozen=True):
    """The canonical parts of an accepted URL.

    ``host`` is a lower-case name or an address without brackets, ``path_query`` starts with ``/``, ``ip`` repeats an
    address host and is null for names. ``allowed_only``: only addresses of ``allow_cidrs`` may be dialled.
    """

    scheme: str
    host: str
    port: int
    path_query: str
    ip: str | None
    allowed_only: bool
    url: str


def parse_target(url: str, policy: EgressPolicy) -> Target:
    """
    Read *url* strictly and judge all that can be judged without a lookup.

    Raises:
        UrlRefused: and nothing else, whatever the text; ``reason`` is one of ``bad_url``, ``scheme``, ``fragment``,
            ``userinfo``, ``bad_host``, ``port``, ``special_name``, ``ip_not_public``.
    """
    scheme, authority, path_query = _split(url)
    host_text, port_text = _split_authority(authority)
    ip = _parse_ip(host_text)
    host = str(ip) if ip else _parse_name(host_text)
    port = _parse_port(port_text, DEFAULT_PORTS[scheme])
    if host in _self_hosts(policy.self_hosts):
        raise UrlRefused("the URL points back at this service; give the receiver's own address", reason="special_name")
    refusal = _public_rules(scheme, port, None if ip else host, policy)
    if refusal and not (_in_allowed(ip, policy) if ip else policy.allow_cidrs):
        raise refusal
    if ip:
        check_address(host, policy)
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        path_query=path_query,
        ip=host if ip else None,
        allowed_only=refusal is not None,
        url=_canonical(scheme, host, port) + path_query,
    )


def check_address(ip_text: str, policy: EgressPolicy, *, allowed_only: bool = False) -> str:
    """
    Judge one address and return the one to dial: an IPv4-mapped IPv6 address is its IPv4.

    Args:
        allowed_only: admit nothing but ``policy.allow_cidrs``.

    Raises:
        UrlRefused: ``ip_not_public``; also for text that is no address or has a zone. Fails closed.
    """
    address = _judge(ip_text, policy, allowed_only)
    if address is None:
        raise UrlRefused(
            f"the address is private or reserved; {_ASK}",
            reason="ip_not_public",
        )
    return address


@lru_cache(maxsize=4_096)
def _judge(ip_text: str, policy: EgressPolicy, allowed_only: bool) -> str | None:
    """Cached, because the sender checks the peer of every exchange again."""
    try:
        ip = _unmapped(ip_address(ip_text))
    except ValueError:
        return None
    if str(ip) in _self_hosts(policy.self_hosts):
        # A name for it that is not on the list.
        return None
    if _in_allowed(ip, policy):
        return str(ip)
    if allowed_only:
        return None
    opened = policy.profile == "local" and _within(ip, LOOPBACK_NETWORKS)
    return str(ip) if opened or _is_public(ip) else None


def _is_public(ip: IPAddress) -> bool:
    if isinstance(ip, IPv6Address) and (ip.scope_id is not None or ip not in GLOBAL_UNICAST_V6):
        return False
    return not _within(ip, FORBIDDEN_NETWORKS)


def _in_allowed(ip: IPAddress, policy: EgressPolicy) -> bool:
    return getattr(ip, "scope_id", None) is None and _within(ip, _networks(policy.allow_cidrs))


def _within(ip: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(ip in network for network in networks)


def _unmapped(ip: IPAddress) -> IPAddress:
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


@lru_cache(maxsize=64)
def _networks(cidrs: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs)


@lru_cache(maxsize=64)
def _self_hosts(names: tuple[str, ...]) -> frozenset[str]:
    """Return *names* as hosts of targets are written, addresses without brackets and in their one spelling."""
    return frozenset(_one_spelling(name.lower().rstrip(".")) for name in names)


def _one_spelling(name: str) -> str:
    try:
        return str(_unmapped(ip_address(name.removeprefix("[").removesuffix("]"))))
    except ValueError:
        return name


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme (lower case), authority, and path with query."""
    if not url or len(url) > MAX_URL_CHARS:
        raise UrlRefused(f"give a URL of 1 to {MAX_URL_CHARS} characters", reason="bad_url")
    if _UNPRINTABLE.search(url):
        raise UrlRefused("remove spaces, control characters and backslashes, or percent-encode them", reason="bad_url")
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    if found is None or scheme not in DEFAULT_PORTS:
        raise UrlRefused(
            "the URL has to start with https://, or http:// where the egress profile allows it", reason="scheme"
        )
    rest = url[found.end() :]
    if "#" in rest:
        raise UrlRefused("remove the fragment, the part from # on; it is never sent", reason="fragment")
    if not rest.startswith("//"):
        raise UrlRefused("write // and the host name after the scheme", reason="bad_host")
    end = min((at for at in (rest.find("/", 2), rest.find("?", 2)) if at >= 0), default=len(rest))
    tail = rest[end:] if rest[end : end + 1] == "/" else "/" + rest[end:]
    if not _PATH_AND_QUERY.fullmatch(tail):
        raise UrlRefused("percent-encode the special characters of path and query (RFC 3986)", reason="bad_url")
    return scheme, rest[2:end], tail


def _split_authority(authority: str) -> tuple[str, str | None]:
    """Return host, in brackets if it was, and the port's text, null if there is no colon."""
    if "@" in authority:
        raise UrlRefused("remove user name and password; set an Authorization header instead", reason="userinfo")
    if authority.startswith("["):
        literal, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _bad_host()
        return literal + bracket, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    if ":" in port or not authority.isascii():
        raise _bad_host()
    return host, port if colon else None


def _parse_ip(host: str) -> IPAddress | None:
    """Return the address that *host* is in its one canonical reading, null for names."""
    try:
        if host.startswith("["):
            if "%" in host:
                raise _bad_host()
            return _unmapped(IPv6Address(host[1:-1]))
        if _NUMERIC_LABEL.fullmatch(host.lower().rstrip(".").rpartition(".")[2]):
            return IPv4Address(host)
    except ValueError:
        raise _bad_host() from None
    return None


def _parse_name(host: str) -> str:
    name = host.lower().removesuffix(".")
    if len(name) > MAX_NAME_CHARS or not all(_is_label(label) for label in name.split(".")):
        raise _bad_host()
    return name


def _is_label(label: str) -> bool:
    if not _LABEL.fullmatch(label):
        return False
    return label[2:4] != "--" or _is_a_label(label)


def _is_a_label(label: str) -> bool:
    """Whether *label* is ``xn--`` and Punycode (RFC 5891) with one spelling."""
    try:
        text = label[4:].encode("ascii").decode("punycode")
        return label.startswith("xn--") and not text.isascii() and text.encode("punycode").decode() == label[4:]
    except (UnicodeError, ValueError, OverflowError):
        return False


def _parse_port(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise UrlRefused("write the port as a plain number from 1 to 65535", reason="port")
    return int(text)


def _public_rules(scheme: str, port: int, name: str | None, policy: EgressPolicy) -> UrlRefused | None:
    """Return why the URL may reach nothing but ``allow_cidrs``, if so."""
    if name is not None and "_" in name:
        return UrlRefused(f"a host name with underscores is not public; {_ASK}", reason="bad_host")
    if policy.profile == "public" and scheme != "https":
        return UrlRefused("use https://; plain http is not sent over the Internet", reason="scheme")
    if policy.profile == "public" and port not in PUBLIC_PORTS:
        return UrlRefused("use port 443 or 8443", reason="port")
    if name is None or (policy.profile == "local" and name == "localhost"):
        return None
    if "." not in name or name.rpartition(".")[2] in SPECIAL_SUFFIXES:
        return UrlRefused(f"use a host name that is public on the Internet; {_ASK}", reason="special_name")
    return None


def _canonical(scheme: str, host: str, port: int) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{bracketed}" + ("" if port == DEFAULT_PORTS[scheme] else f":{port}")


def _bad_host() -> UrlRefused:
    return UrlRefused(
        "give a host name of ASCII letters, digits and hyphens (international names as xn--…), "
        "an IPv4 address in four decimal parts, or an IPv6 address in brackets",
        reason="bad_host",
    )
