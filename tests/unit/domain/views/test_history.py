"""Annotations: what of an audited change is shown to everyone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from monitor.domain.alerts.alert import TRANSITIONS
from monitor.domain.views.history import (
    ALERTED,
    AUDITED,
    MAX_ANNOTATIONS,
    Annotation,
    AnnotationKind,
    audited_annotation,
    changed_members,
    newest,
)

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "kind", "members"),
    [
        ({"url": "a", "version": 1}, {"url": "b", "version": 2}, "updated", ["url"]),
        ({"enabled": True}, {"enabled": False}, "disabled", ["enabled"]),
        ({"enabled": False, "name": "a"}, {"enabled": True, "name": "b"}, "enabled", ["enabled", "name"]),
        ({"url": "***"}, {"url": "***", "hidden_changes": ["url", "headers"]}, "updated", ["headers", "url"]),
        (None, None, "updated", []),
    ],
)
def test_an_update_is_annotated_with_the_names_of_what_changed(
    before: dict[str, Any] | None, after: dict[str, Any] | None, kind: str, members: list[str]
) -> None:
    annotation = audited_annotation(AT, "ada", "webhook.update", before, after)
    assert (annotation.kind, annotation.actor, annotation.members) == (kind, "ada", members)


def test_no_value_of_a_change_is_shown() -> None:
    secret = {"url": "https://hooks.example.com/T0/secret", "headers": {"X-Key": "secret"}}
    for action in AUDITED:
        annotation = audited_annotation(AT, "ada", action, {}, secret)
        assert b"secret" not in msgspec.json.encode(msgspec.structs.replace(annotation, kind=AnnotationKind.UPDATED))


def test_hidden_changes_that_cannot_be_read_are_left_out() -> None:
    assert changed_members({"name": "a"}, {"name": "b", "hidden_changes": 7}) == ["name"]


def test_every_kind_comes_from_one_action() -> None:
    assert {*AUDITED.values(), *ALERTED.values()} == set(AnnotationKind)
    assert ALERTED.keys() < TRANSITIONS.keys()


@pytest.mark.parametrize("extra", [0, 1])
def test_the_newest_are_kept_and_more_are_told(extra: int) -> None:
    found = [
        Annotation(at=AT + timedelta(seconds=second), kind=AnnotationKind.PAUSED, actor="ada")
        for second in range(MAX_ANNOTATIONS + extra)
    ]
    items, complete = newest(found)
    assert complete is (extra == 0)
    assert items == found[::-1][:MAX_ANNOTATIONS]
