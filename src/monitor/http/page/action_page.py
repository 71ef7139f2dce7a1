"""The page of a one-use link: plain HTML without scripts, for phones first, in the colours that the reader prefers."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from hashlib import sha256
from html import escape

from monitor.domain.alerts.action_links import LinkAction
from monitor.domain.services.action_links import LinkStatus, LinkView

STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1a202c;--quiet:#4a5568;--button:#1d4f91;--on:#fff}
@media(prefers-color-scheme:dark){:root{--back:#14181f;--text:#e8ecf2;--quiet:#a9b4c2;--button:#8ab8f5;--on:#10141a}}
body{margin:0;background:var(--back);color:var(--text);font:1rem/1.5 system-ui,sans-serif}
main{max-width:34rem;margin:0 auto;padding:2rem 1rem}
h1{font-size:1.35rem;line-height:1.3;margin:0 0 1rem}
p{margin:0 0 1rem;overflow-wrap:anywhere}
.quiet{color:var(--quiet)}
a{color:inherit}
button{width:100%;min-height:3rem;padding:.75rem 1rem;border:0;border-radius:.4rem;background:var(--button);
color:var(--on);font:inherit;font-weight:600;cursor:pointer}
button:focus-visible,a:focus-visible{outline:3px solid var(--text);outline-offset:2px}
"""

_HASH = base64.b64encode(sha256(STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""The one style, and a form that posts to its own address; nothing else is loaded or run."""

STATUS_CODES = {LinkStatus.EXPIRED: 410, LinkStatus.UNKNOWN: 404}

CONFLICT = 409
"""Of a use that finds nothing left to do."""

_QUESTIONS = {
    LinkAction.ACKNOWLEDGE: ("Acknowledge this alert?", "Acknowledge"),
    LinkAction.SILENCE_HOUR: ("Silence this alert for 1 hour?", "Silence for 1 hour"),
    LinkAction.SILENCE_DAY: ("Silence this alert for 1 day?", "Silence for 1 day"),
}
_DONE = {
    LinkAction.ACKNOWLEDGE: "You acknowledged this alert",
    LinkAction.SILENCE_HOUR: "You silenced this alert for 1 hour",
    LinkAction.SILENCE_DAY: "You silenced this alert for 1 day",
}


def status_code_of(view: LinkView, *, used: bool) -> int:
    """Return the status of the response; *used* if the request was to use the link, not to look at it."""
    if view.status in STATUS_CODES:
        return STATUS_CODES[view.status]
    return CONFLICT if used and view.status is not LinkStatus.DONE else 200


def action_page(view: LinkView) -> bytes:
    """Return the page about *view*, which has untrusted texts."""
    heading, paragraphs, button = _content(view)
    parts = [f"<h1>{escape(heading)}</h1>"]
    if view.title:
        parts.append(f"<p>{escape(view.title)}</p>")
    parts += [f'<p class="quiet">{escape(text)}</p>' for text in paragraphs]
    if button is not None:
        parts.append(f'<form method="post"><button type="submit">{escape(button)}</button></form>')
    elif view.page is not None:
        parts.append(f'<p><a href="{escape(view.page)}">Open the alert</a></p>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(heading)} – Monitor</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    ).encode()


def _content(view: LinkView) -> tuple[str, list[str], str | None]:
    """Return heading, paragraphs, and the label of the button, ``None`` without one."""
    ago = _at(view.at)
    match view.status:
        case LinkStatus.READY:
            assert view.action is not None
            question, button = _QUESTIONS[view.action]
            return question, ["No sign-in needed. This link works once."], button
        case LinkStatus.DONE:
            assert view.action is not None
            notes = [f"Recorded as done by {view.by}."]
            if view.until is not None:
                notes.append(f"Notifications pause until {_at(view.until)}; the alert stays open.")
            return _DONE[view.action], notes, None
        case LinkStatus.USED:
            return "This link was used", [f"Used by {view.by} at {ago}. A link works once."], None
        case LinkStatus.ACKNOWLEDGED:
            return "This alert is already acknowledged", [f"Acknowledged by {view.by} at {ago}."], None
        case LinkStatus.RESOLVED:
            by = "Resolved by itself" if view.by == "system" else f"Resolved by {view.by}"
            return "This alert is resolved", [f"{by} at {ago}. There is nothing left to do."], None
        case LinkStatus.EXPIRED:
            return "This link has expired", [f"It was valid until {ago}. Sign in to work on the alert."], None
        case _:
            return "There is no such link", ["Check that the address is complete, or sign in to find the alert."], None


def _at(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
