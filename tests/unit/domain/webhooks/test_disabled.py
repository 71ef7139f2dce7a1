"""What Monitor disabled: until when its events are kept, and when probes are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.vocab import Reenable
from monitor.domain.webhooks.disabled import (
    FIRST_PROBE_S,
    LONGEST_PROBE_S,
    Disabled,
    disabled_details,
    enabled_by_probe,
    is_probed,
    keep_disabled,
    probe_after,
    without_probes,
)
from monitor.domain.webhooks.registration import reconfigure, spec_of
from monitor.domain.webhooks.webhook import Webhook

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY_S = 86_400.0
GONE = "The receiver answered 410 Gone."
ON = Webhook(id=UUID(int=1), name="Orders", url="https://orders.example/", created_at=NOW, updated_at=NOW)
OFF = replace(ON, enabled=False, disabled_reason=GONE, disabled_at=NOW)
PROBED = replace(OFF, reenable=Reenable.PROBE, probe_at=NOW + timedelta(hours=1), probes=3)
BY_USER = replace(ON, enabled=False, reenable=Reenable.PROBE)


@pytest.mark.parametrize(
    ("probes", "wait_s"), [(0, 600), (1, 1_200), (2, 2_400), (5, 19_200), (6, 21_600), (100_000, 21_600)]
)
def test_the_wait_for_a_probe_doubles_from_ten_minutes_to_six_hours(probes: int, wait_s: float) -> None:
    assert probe_after(probes, NOW) == NOW + timedelta(seconds=wait_s)


@given(st.integers(0, 1_000_000))
def test_no_probe_follows_at_once_or_never(probes: int) -> None:
    """Every wait lies between the first and the longest, and none is shorter than the one before."""
    wait_s = (probe_after(probes, NOW) - NOW).total_seconds()
    assert FIRST_PROBE_S <= wait_s <= LONGEST_PROBE_S
    assert probe_after(probes, NOW) <= probe_after(probes + 1, NOW)


def test_only_what_monitor_disabled_has_details() -> None:
    details = disabled_details(GONE, NOW, None, enabled=False, events_kept_s=4 * DAY_S)
    assert details == Disabled(GONE, NOW, NOW + timedelta(days=4), None)
    assert disabled_details(GONE, None, NOW, enabled=False, events_kept_s=DAY_S) == Disabled(GONE, None, None, NOW)
    assert disabled_details(None, None, None, enabled=False, events_kept_s=DAY_S) is None
    assert disabled_details(None, None, None, enabled=True, events_kept_s=DAY_S) is None


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [(ON, False), (OFF, False), (PROBED, True), (BY_USER, False), (replace(ON, reenable=Reenable.PROBE), False)],
)
def test_a_probe_never_undoes_what_a_user_disabled(webhook: Webhook, expected: bool) -> None:
    assert is_probed(webhook) is expected


def test_probes_begin_at_once_when_they_are_chosen_or_the_url_changes() -> None:
    chosen = keep_disabled(OFF, replace(OFF, reenable=Reenable.PROBE), NOW)
    assert (chosen.probe_at, chosen.probes) == (NOW, 0)
    moved = keep_disabled(PROBED, replace(PROBED, url="https://new.example/"), NOW)
    assert (moved.probe_at, moved.probes) == (NOW, 0)
    assert keep_disabled(PROBED, replace(PROBED, name="Other"), NOW) == replace(PROBED, name="Other")


def test_probes_end_when_they_are_not_wanted_any_more() -> None:
    ended = keep_disabled(PROBED, replace(PROBED, reenable=Reenable.NEVER), NOW)
    assert (ended.probe_at, ended.probes, ended.disabled_reason) == (None, 0, GONE)
    assert keep_disabled(ON, BY_USER, NOW).probe_at is None


@pytest.mark.parametrize(
    ("webhook", "patch", "ended"),
    [
        (PROBED, {"enabled": False}, True),
        (PROBED, {"enabled": False, "reenable": "probe"}, False),
        (PROBED, {"name": "Other"}, False),
        (PROBED, {"enabled": True}, False),
        (PROBED, {"enabled": None}, False),
        (replace(ON, reenable=Reenable.PROBE), {"enabled": False}, False),
        (BY_USER, {"enabled": False}, False),
    ],
)
def test_a_user_who_disables_what_monitor_disabled_ends_its_probes(
    webhook: Webhook, patch: dict[str, Any], ended: bool
) -> None:
    assert without_probes(webhook, patch) == (patch | {"reenable": "never"} if ended else patch)


def test_a_user_enables_a_webhook_without_a_trace_of_its_probes() -> None:
    enabled = reconfigure(PROBED, replace(spec_of(PROBED), enabled=True), PROBED.url, NOW)
    assert enabled == replace(ON, reenable=Reenable.PROBE, version=2, updated_at=NOW)


def test_a_probe_enables_a_webhook_and_stays_counted() -> None:
    enabled = enabled_by_probe(PROBED, NOW)
    assert enabled == replace(ON, reenable=Reenable.PROBE, probes=3, version=2, updated_at=NOW)


def test_when_a_webhook_was_disabled_is_kept_until_it_is_enabled() -> None:
    """Fan-outs of events that were accepted before still reach it."""
    later = NOW + timedelta(hours=1)
    off = replace(spec_of(ON), enabled=False)
    by_user = reconfigure(ON, off, ON.url, later)
    assert (by_user.disabled_at, by_user.disabled_reason) == (later, None)
    assert reconfigure(by_user, replace(off, name="Other"), ON.url, later + timedelta(hours=1)).disabled_at == later
    assert reconfigure(OFF, replace(spec_of(OFF), name="Other"), ON.url, later).disabled_at == NOW
    assert reconfigure(by_user, spec_of(ON), ON.url, later).disabled_at is None
