"""
``mailto:`` URLs of webhooks (RFC 6068): the recipients of e-mail, and nothing else.

Header fields behind ``?`` are refused: Monitor writes subject and text, and all recipients stand in front. Addresses
are those of RFC 5321 in ASCII; an international domain is written as ``xn--…``.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from monitor.domain.errors import UrlRefused

SCHEME = "mailto:"
MAX_RECIPIENTS = 20

_UNREADABLE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^ -~]|/")
"""Half an escape, what is not ASCII, or the slashes of another kind of URL."""
_LOCAL = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def is_mail_url(url: str) -> bool:
    """Whether *url* names recipients of e-mail."""
    return url[: len(SCHEME)].lower() == SCHEME


def recipients(url: str) -> tuple[str, ...]:
    """
    Return the addresses of a ``mailto:`` URL, each once, domains in lower case.

    Raises:
        UrlRefused: it is no such URL, or has other header fields than these; ``reason`` is ``mail_address``,
            ``mail_recipients`` or ``mail_fields``.
    """
    if not is_mail_url(url) or "?" in url or "#" in url:
        raise UrlRefused(
            "write mailto: and addresses with commas between them, and nothing behind: Monitor writes subject and text",
            reason="mail_fields",
        )
    found = tuple(dict.fromkeys(_address(text) for text in url[len(SCHEME) :].split(",")))
    if len(found) > MAX_RECIPIENTS:
        raise UrlRefused(f"give at most {MAX_RECIPIENTS} addresses", reason="mail_recipients")
    return found


def canonical_mail_url(url: str) -> str:
    """Return the one spelling of a ``mailto:`` URL. Raises ``UrlRefused`` as :func:`recipients`."""
    return SCHEME + ",".join(quote(address, safe="@!$'*+") for address in recipients(url))


def _address(text: str) -> str:
    raw = b"" if _UNREADABLE.search(text) else unquote_to_bytes(text)
    local, _, domain = (raw.decode() if raw.isascii() else "").rpartition("@")
    domain = domain.lower()
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise UrlRefused(
            "give addresses such as ops@example.org in ASCII (international domains as xn--…), percent-encoded where"
            " RFC 6068 says so",
            reason="mail_address",
        )
    return f"{local}@{domain}"
