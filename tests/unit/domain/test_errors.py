"""The tree of errors that clients see."""

from __future__ import annotations

import re

import pytest

from monitor.domain.errors import (
    Conflict,
    FieldError,
    MissingToken,
    MonitorError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UrlRefused,
)


def family(root: type[MonitorError]) -> list[type[MonitorError]]:
    return [root, *(error for child in root.__subclasses__() for error in family(child))]


def test_every_error_has_its_own_slug() -> None:
    slugs = [error.slug for error in family(MonitorError)]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z_]+", slug) for slug in slugs)


def test_an_error_carries_the_detail_for_the_client() -> None:
    error = Conflict("It is resolved.", errors=(FieldError("/state", "wait"),))
    assert (str(error), error.detail) == ("It is resolved.", "It is resolved.")
    assert [(field.pointer, field.detail) for field in error.errors] == [("/state", "wait")]


def test_a_missing_token_has_no_error_code_and_a_bad_one_has() -> None:
    assert Unauthenticated("bad").code == "invalid_token"
    assert MissingToken("none").code is None


def test_a_refused_url_points_at_the_member_and_has_a_reason() -> None:
    error = UrlRefused("It is private.", reason="ip_not_public")
    assert error.reason == "ip_not_public"
    assert [(field.pointer, field.detail) for field in error.errors] == [("/url", "It is private.")]


@pytest.mark.parametrize(
    "error", [TooManyRequests("slower", retry_after_s=2.5), Unavailable("down", retry_after_s=2.5)]
)
def test_temporary_errors_have_a_time_to_retry_after(error: TooManyRequests | Unavailable) -> None:
    assert error.retry_after_s == 2.5
