"""How an error closes a socket."""

from __future__ import annotations

import pytest

from monitor.domain import errors
from monitor.domain.errors import MonitorError
from monitor.domain.live import UnknownFrame
from monitor.http.live.close_codes import CloseCode, close_code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownFrame(""), None),
        (errors.Malformed(""), CloseCode.MALFORMED),
        (errors.Invalid(""), CloseCode.MALFORMED),
        (errors.Unauthenticated(""), CloseCode.UNAUTHENTICATED),
        (errors.MissingToken(""), CloseCode.UNAUTHENTICATED),
        (errors.Forbidden(""), CloseCode.FORBIDDEN),
        (errors.TooManyRequests("", retry_after_s=1), CloseCode.FLOOD),
        (errors.Unavailable(""), CloseCode.INTERNAL),
    ],
)
def test_an_error_has_its_close_code_and_one_without_a_rule_is_ours(
    error: MonitorError, code: CloseCode | None
) -> None:
    assert close_code_of(error) is code
