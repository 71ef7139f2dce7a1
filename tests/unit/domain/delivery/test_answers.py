"""What the body of a success says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.answers import read_answer
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.vocab import BodyFormat, ErrorKind

# As reported in MicrosoftDocs/msteams-docs, issues 7425, 1736 and 10178.
THROTTLED = (
    b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId"
    b" tcid=0,server=msgapi-production-cse-azsc7-2-35,cv=x.0,MS-CV=x.0.."
)
FORBIDDEN = (
    b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 403 with ContextId"
    b" tcid=0,server=msgapi-production-cin-azsc4-1-64,cv=h3ya2.001=2.."
)
UNREACHED = b"Webhook message delivery failed with error: Error contacting Microsoft Teams endpoint"


def answered(body: bytes, **changes: object) -> Outcome:
    return Outcome(**{"latency_ms": 5.0, "status_code": 200, "response_body": body} | changes)  # type: ignore[arg-type]


def test_a_429_in_the_body_throttles_for_a_while_that_lets_teams_recover() -> None:
    outcome = read_answer(BodyFormat.TEAMS, answered(THROTTLED))
    assert (outcome.ok, outcome.throttled, outcome.status_code, outcome.error) == (False, True, 429, ErrorKind.STATUS)
    assert outcome.retry_after == "15"
    assert outcome.response_body == THROTTLED
    assert "200" in (outcome.error_detail or "")


def test_a_429_in_the_body_honours_the_header() -> None:
    assert read_answer(BodyFormat.TEAMS, answered(THROTTLED, retry_after="3")).retry_after == "3"


@pytest.mark.parametrize(("body", "status"), [(FORBIDDEN, 403), (UNREACHED, 502), (b"\n" + FORBIDDEN, 403)])
def test_another_error_in_the_body_is_a_failure_with_its_cause(body: bytes, status: int) -> None:
    outcome = read_answer(BodyFormat.TEAMS, answered(body))
    assert (outcome.label, outcome.retry_after) == (str(status), None)


@pytest.mark.parametrize("body", [b"1", b"", b"ok", b"The text was: " + THROTTLED])
def test_any_other_body_is_a_success(body: bytes) -> None:
    assert read_answer(BodyFormat.TEAMS, answered(body)).ok


@pytest.mark.parametrize("body_format", [one for one in BodyFormat if one is not BodyFormat.TEAMS])
def test_of_other_services_the_status_counts(body_format: BodyFormat) -> None:
    assert read_answer(body_format, answered(THROTTLED)).ok


def test_a_failure_stays_as_it_is() -> None:
    refused = answered(THROTTLED, status_code=413, error=ErrorKind.STATUS)
    assert read_answer(BodyFormat.TEAMS, refused) is refused


@given(st.binary())
def test_no_body_can_break_the_reader(rest: bytes) -> None:
    """Total: a body that begins like an error is one, whatever follows."""
    assert not read_answer(BodyFormat.TEAMS, answered(UNREACHED + rest)).ok
