"""
Answers of chat services that report an error under the status of a success.

Source: the Office connectors of Microsoft Teams answer 200 to whatever they accept, with "1" or with a sentence such as
"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId …". Their
makers keep it so, since clients gave up at other statuses (MicrosoftDocs/msteams-docs, issues 1810 and 7425). Workflows
of Power Automate answer 202, and errors with their statuses, as Slack and Discord do.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.vocab import BodyFormat, ErrorKind

TEAMS_FAILED = b"Webhook message delivery failed with error"
"""How the body of an error of Teams begins."""

TEAMS_RETRY_AFTER = "15"
"""Seconds to wait after a 429 of Teams that names none: its support says 10 to 15 (msteams-docs, issue 7576)."""

HTTP_BAD_GATEWAY = 502
"""The status of an error that names none: the connector did not reach Teams."""

_STATUS = re.compile(rb"HTTP error ([45]\d\d)\b")


def read_answer(body_format: BodyFormat, outcome: Outcome) -> Outcome:
    """Return *outcome* as the error in its body, if the service reports errors there. Reads only the part of the
    body that is kept. Total."""
    body = outcome.response_body.lstrip()
    if body_format is not BodyFormat.TEAMS or not outcome.ok or not body.startswith(TEAMS_FAILED):
        return outcome
    found = _STATUS.search(body)
    status = int(found[1]) if found else HTTP_BAD_GATEWAY
    retry_after = outcome.retry_after or (TEAMS_RETRY_AFTER if status == 429 else None)
    detail = f"Answered {outcome.status_code}, with an error of Microsoft Teams in the body."
    return replace(outcome, status_code=status, error=ErrorKind.STATUS, error_detail=detail, retry_after=retry_after)
