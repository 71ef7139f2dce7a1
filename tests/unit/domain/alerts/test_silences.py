"""Which alerts a silence matches, and the rules for creating one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given

from monitor.domain.alerts import AlertKind, Silence, SilenceSpec
from monitor.domain.alerts.silences import MAX_DURATION, check_silence, has_label
from monitor.domain.errors import Invalid
from monitor.domain.ids import SYSTEM_ID
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import NOW, WEBHOOK

HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
LABELS = {"team": "blue", "tier": "gold=1"}


def silence(**scope: Any) -> Silence:
    return Silence(id=UUID(int=1), created_by="ada", created_at=NOW, reason="Maintenance.", ends_at=NOW + HOUR, **scope)


def spec(**changes: Any) -> SilenceSpec:
    members: dict[str, Any] = {"reason": "Maintenance.", "ends_at": NOW + HOUR, "webhook_id": WEBHOOK}
    return SilenceSpec(**members | changes)


@pytest.mark.parametrize(
    ("scope", "matches"),
    [
        ({}, True),
        ({"webhook_id": WEBHOOK}, True),
        ({"webhook_id": UUID(int=8)}, False),
        ({"kind": AlertKind.FAILING}, True),
        ({"kind": AlertKind.VOLUME}, False),
        ({"label": "team"}, True),
        ({"label": "team=blue"}, True),
        ({"label": "team=red"}, False),
        ({"webhook_id": WEBHOOK, "label": "team=blue", "kind": AlertKind.FAILING}, True),
        ({"webhook_id": WEBHOOK, "label": "team=red", "kind": AlertKind.FAILING}, False),
    ],
)
def test_every_member_of_a_silence_must_match(scope: dict[str, Any], matches: bool) -> None:
    assert silence(**scope).matches(WEBHOOK, LABELS, AlertKind.FAILING, NOW) is matches


@pytest.mark.parametrize(
    ("at", "matches"), [(NOW - MOMENT, False), (NOW, True), (NOW + HOUR - MOMENT, True), (NOW + HOUR, False)]
)
def test_a_silence_is_active_from_its_creation_until_its_end(at: datetime, matches: bool) -> None:
    assert silence().matches(WEBHOOK, LABELS, AlertKind.FAILING, at) is matches


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        ("team", True),
        ("team=blue", True),
        ("team=", False),
        ("team=red", False),
        ("tier=gold=1", True),
        ("blue", False),
        ("=blue", False),
    ],
)
def test_a_label_matches_by_name_or_by_name_and_value(wanted: str, has: bool) -> None:
    assert has_label(LABELS, wanted) is has


@given(our.label_maps)
def test_a_webhook_has_its_own_labels(labels: Mapping[str, str]) -> None:
    """Every label matches by name and by name and value."""
    assert all(has_label(labels, name) and has_label(labels, f"{name}={value}") for name, value in labels.items())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"webhook_id": None, "label": "team"},
        {"reason": "First line.\n\tSecond line."},
        {"webhook_id": None, "kind": AlertKind.MASS_FAILURE},
        {"ends_at": NOW + MOMENT},
        {"ends_at": NOW + MAX_DURATION},
    ],
)
def test_a_silence_within_the_rules_may_be_created(changes: dict[str, Any]) -> None:
    check_silence(spec(**changes), NOW)


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"webhook_id": None}, [""]),
        ({"webhook_id": SYSTEM_ID}, ["/webhook_id"]),
        ({"reason": "deploy\u202e"}, ["/reason"]),
        ({"label": "team=blue\n"}, ["/label"]),
        ({"ends_at": NOW}, ["/ends_at"]),
        ({"ends_at": NOW + MAX_DURATION + MOMENT}, ["/ends_at"]),
        ({"webhook_id": None, "ends_at": NOW}, ["", "/ends_at"]),
    ],
)
def test_every_broken_rule_is_named(changes: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        check_silence(spec(**changes), NOW)
    assert [error.pointer for error in refused.value.errors] == pointers


@given(our.silences, our.silence_specs)
def test_silences_survive_the_wire(silence: Silence, spec: SilenceSpec) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.json.decode(msgspec.json.encode(silence), type=Silence) == silence
    assert msgspec.json.decode(msgspec.json.encode(spec), type=SilenceSpec) == spec
