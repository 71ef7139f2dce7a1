"""What a process opens to other machines, in words."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from monitor.settings.schema import Http


def reach(addresses: Iterable[str], http: Http) -> str:
    """
    Return lines about what is open to which machines; nothing if only this one can connect.

    Args:
        addresses: what the process listens on.
    """
    open_to = [ipaddress.ip_address(address) for address in addresses]
    others = [address for address in open_to if not address.is_loopback]
    if not others:
        return ""
    where = (
        "any address of this one" if any(address.is_unspecified for address in others) else ", ".join(map(str, others))
    )
    bare = ["the page", "probes"]
    bare += ["/schema (MONITOR_HTTP__SERVE_SCHEMA=false closes it)"] if http.serve_schema else []
    bare += ["/metrics"] if http.metrics_open else []
    return (
        f"  Open to    every machine that reaches {where}.\n"
        f"             Without a token: {', '.join(bare)}. With one: everything its role allows.\n"
        f"             Plain HTTP: who reads the network reads tokens; put a proxy with TLS in front.\n"
    )
