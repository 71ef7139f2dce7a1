"""Handshake of a live feed: token, origin and position, checked before a socket is opened."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from urllib.parse import parse_qsl

from monitor.domain.errors import Forbidden, Malformed
from monitor.domain.live.stream import Position
from monitor.http.requests.hosts import Origin, parse_origin

PROTOCOL = "monitor.v1"
_BEARER = "bearer."
_EPOCH = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEQ = re.compile(r"\d{1,18}", re.ASCII)


def subprotocol_token(subprotocols: Sequence[str]) -> str | None:
    """
    Return the token among the offered subprotocols, where browsers have to put it.

    Raises:
        Malformed: some are offered and ours is not, or there are several tokens.
    """
    if subprotocols and PROTOCOL not in subprotocols:
        raise Malformed(f"Offer the subprotocol {PROTOCOL}.")
    tokens = [offer.removeprefix(_BEARER) for offer in subprotocols if offer.startswith(_BEARER)]
    if len(tokens) > 1:
        raise Malformed("Offer one token, not several.")
    return tokens[0] if tokens else None


def check_origin(origin: str | None, allowed: Collection[Origin], own: Origin | None) -> None:
    """
    Check the page that opens the socket: one of a listed origin or our own (RFC 6454 section 5).

    A client without ``Origin`` is no browser, and so sends no credentials of another site.

    Raises:
        Forbidden: a page of another origin.
    """
    if origin is None:
        return
    sent = parse_origin(origin)
    if sent is None or (sent != own and sent not in allowed):
        raise Forbidden("Pages of this origin may not open the live feed.")


def requested_position(query: str) -> Position | None:
    """
    Read ``?epoch=…&seq=…``, the position from which a client resumes.

    Raises:
        Malformed: not both, or anything else, above all a token: addresses are logged.
    """
    if not query:
        return None
    members = parse_qsl(query, keep_blank_values=True)
    values = dict(members)
    if len(members) != 2 or values.keys() != {"epoch", "seq"}:
        raise Malformed("The address may hold epoch and seq, both once and nothing else; never a token.")
    if not (_EPOCH.fullmatch(values["epoch"]) and _SEQ.fullmatch(values["seq"])):
        raise Malformed("epoch or seq is not one of ours.")
    return Position(values["epoch"], int(values["seq"]))
