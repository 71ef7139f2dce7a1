"""What a start says about who can reach it."""

from __future__ import annotations

import pytest

from monitor.cli.reach import reach
from monitor.settings.schema import Http


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "::1"], ["127.8.0.1"]])
def test_loopback_is_open_to_none_but_this_machine(addresses: list[str]) -> None:
    assert reach(addresses, Http()) == ""


@pytest.mark.parametrize(
    ("addresses", "where"),
    [
        (["0.0.0.0"], "any address of this one"),
        (["::"], "any address of this one"),
        (["127.0.0.1", "192.0.2.7"], "192.0.2.7"),
    ],
)
def test_another_address_is_said_to_be_open_and_to_whom(addresses: list[str], where: str) -> None:
    said = reach(addresses, Http())
    assert f"every machine that reaches {where}." in said
    assert "Plain HTTP" in said
    assert "/metrics" not in said
    assert "127.0.0.1" not in said


def test_what_needs_no_token_is_listed_as_the_settings_have_it() -> None:
    said = reach(["192.0.2.7"], Http(metrics_open=True))
    assert "/metrics" in said
    assert "MONITOR_HTTP__SERVE_SCHEMA" in said
    assert "/schema" not in reach(["192.0.2.7"], Http(serve_schema=False))
