"""
E-mails about events: subject and plain text.

A mail about an alert begins with its sentence on what holds now. Nothing in the text is trusted: a subject is
one line, and no text holds characters that reorder what is shown.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.delivery.alert_event import RAISED, AlertEvent, cut, read_alert
from monitor.domain.delivery.chat_formats import TEXT_MAX, TITLE_MAX, message_of
from monitor.domain.delivery.rendered import TEXT, RenderedBody
from monitor.domain.text import safe_text


class Mail(msgspec.Struct, frozen=True):
    """One e-mail. ``alert_id`` is that of the alert that it is about; mails about one alert form one thread."""

    subject: str
    text: str
    alert_id: UUID | None = None


def email(event_type: str, payload: bytes) -> RenderedBody:
    """Return the text of an e-mail about an event. Total."""
    return RenderedBody(mail_about(event_type, payload).text.encode(errors="replace"), content_type=TEXT)


def mail_about(event_type: str, payload: bytes) -> Mail:
    """Return the e-mail about an event: of one about an alert its sentence and facts, else type and payload. Total."""
    event = read_alert(event_type, payload)
    if event is not None:
        return _about_alert(event)
    message = message_of(event_type, payload)
    return Mail(_subject("Event", message.title), _text(message.title, message.text))


def _about_alert(event: AlertEvent) -> Mail:
    sentence = cut(event.sentence, TEXT_MAX)
    facts = "\n".join(f"{label}: {cut(_line(value), TITLE_MAX)}" for label, value in event.facts().items())
    links = "\n".join(f"{text}: {url}" for text, url in event.links)
    # A mail about an end must not read like one about a beginning.
    tag = event.alert.severity if event.verb == RAISED else event.verb
    return Mail(
        _subject(tag.capitalize(), sentence), _text(f"{event.heading}.", sentence, facts, links), event.alert.id
    )


def _text(*parts: str) -> str:
    return "\n\n".join(part for part in (safe_text(part).strip() for part in parts) if part) + "\n"


def _line(text: str) -> str:
    return " ".join(safe_text(text).split())


def _subject(tag: str, text: str) -> str:
    return cut(_line(f"[{tag}] {text}"), TITLE_MAX)
