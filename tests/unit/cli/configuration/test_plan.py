"""The plan that makes a server agree with a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.configuration.document import Configuration, Reference, SilenceItem, WebhookItem
from monitor.cli.configuration.plan import Change, Options, Plan, PlanError, make_plan
from monitor.cli.configuration.report import plan_data, plan_lines
from monitor.cli.configuration.server_state import (
    ServerState,
    SilenceState,
    WebhookState,
    marked_reason,
    read_silence,
    read_webhook,
)
from monitor.domain.alerts.alert import AlertKind
from monitor.domain.alerts.recurrence import Recurrence
from monitor.domain.alerts.silences import MAX_SERIES, SilenceSpec
from monitor.domain.vocab import BodyFormat, SignatureScheme
from monitor.domain.webhooks.registration import WebhookSpec

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ID = "01900000-0000-7000-8000-00000000000"


def spec(name: str = "a", **members: Any) -> WebhookSpec:
    return WebhookSpec(**{"name": name, "url": "https://a.example.com/", **members})


def item(name: str = "a", **members: Any) -> WebhookItem:
    headers: dict[str, str | Reference] = dict.fromkeys(members.get("headers", {}), Reference(env="X"))
    return WebhookItem(spec(name, **members), headers)


def state(name: str = "a", owner: str | None = "shop", **members: Any) -> WebhookState:
    auto = members.pop("auto_disabled", False)
    return WebhookState(f"{ID}{name}", 1, spec(name, **members), owner, auto)


def quiet(reason: str = "s", webhook: str | None = None, **members: Any) -> SilenceItem:
    given: dict[str, Any] = {"kind": AlertKind.LATENCY, "ends_at": NOW + timedelta(days=1)} | members
    return SilenceItem(SilenceSpec(reason=reason, **given), webhook)


def stored(silence: SilenceItem, owner: str | None = "shop", about: str | None = None, id_: str = "1") -> SilenceState:
    full = msgspec.structs.replace(silence.spec, webhook_id=msgspec.convert(about, Any), starts_at=NOW)
    return SilenceState(id_, full, silence.webhook, owner, silence.digest() if owner else None)


def plan(
    webhooks: list[WebhookItem],
    has: list[WebhookState],
    *,
    silences: list[SilenceItem] | None = None,
    mutes: list[SilenceState] | None = None,
    never: bool = False,
    **options: Any,
) -> Plan:
    wanted = Configuration("shop", webhooks, silences or [])
    return make_plan(wanted, ServerState(has, mutes or [], NOW), Options(**options), never_occurs=lambda _: never)


def taken(made: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.name) for step in made.steps]


@given(
    names=st.lists(st.sampled_from("abcd"), unique=True),
    has=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["shop", "other"])), unique=True),
    prune=st.booleans(),
)
def test_a_plan_creates_what_is_missing_and_deletes_only_what_is_owned(
    names: list[str], has: list[tuple[str, str]], prune: bool
) -> None:
    """After the plan the owner has what the file has, and with pruning nothing else; others keep theirs."""
    made = plan([item(name) for name in names], [state(name, owner) for name, owner in has], prune=prune)
    owned = {name for name, owner in has if owner == "shop"}
    assert {step.name for step in made.steps if step.action == "create"} == set(names) - owned
    extra = owned - set(names)
    assert {step.name for step in made.steps if step.action == "delete"} == (extra if prune else set())
    assert set(made.left) == (set() if prune else extra)
    assert made.unchanged == len(owned & set(names))
    assert all(step.old_webhook is None or step.old_webhook.owner == "shop" for step in made.steps)


def test_changes_name_each_member_before_and_after() -> None:
    before = state(headers={"Old": "***"}, max_concurrency=5, labels={"team": "x"})
    after = item(headers={"New": "***"}, labels={"team": "y"}, retry={"jitter_ratio": 0.5})
    after = msgspec.structs.replace(after, spec=msgspec.convert(msgspec.to_builtins(after.spec), WebhookSpec))
    (step,) = plan([after], [before]).steps
    assert step.changes == [
        Change("labels.team", "x", "y"),
        Change("headers.Old", "***", None),
        Change("headers.New", None, "***"),
        Change("retry.jitter_ratio", 0.2, 0.5),
        Change("max_concurrency", 5, 10),
    ]
    assert step.headers == {"New"}


def test_stored_header_values_are_sent_again_to_another_server_or_when_asked() -> None:
    before = state(headers={"A": "***"})
    moved = item(headers={"A": "***"}, url="https://b.example.com/")
    (step,) = plan([moved], [before]).steps
    assert step.headers == {"A"}
    assert not step.set_secret
    (elsewhere,) = plan([item(headers={"A": "***"}, url="https://a.example.com/x")], [before]).steps
    assert elsewhere.headers == frozenset()
    same = WebhookItem(before.spec, {"A": "v"}, Reference(env="S"))
    assert plan([same], [before]).steps == []
    for names in ({"a"}, {"*"}):
        (again,) = plan([same], [before], set_secrets=frozenset(names)).steps
        assert again.headers == {"A"}
        assert again.set_secret
        assert again.changes == [Change("headers.A", "***", "***"), Change("secret", "***", "***")]


def test_urls_of_chats_are_not_shown() -> None:
    chat = {"body_format": BodyFormat.SLACK}
    before = state(url="https://hooks.slack.com/services/one", **chat)
    (step,) = plan([item(url="https://hooks.slack.com/services/two", **chat)], [before]).steps
    assert step.changes == [Change("url", "https://hooks.slack.com/***", "https://hooks.slack.com/***")]
    assert list(plan_lines(Plan([step])))[1] == "    url: set again; its value is not shown"


def test_what_monitor_disabled_stays_so() -> None:
    down = state(enabled=False, auto_disabled=True)
    assert plan([item()], [down]).steps == []
    assert plan([item(enabled=False)], [down]).steps == []
    (step,) = plan([item(max_concurrency=1)], [down]).steps
    assert step.webhook is not None
    assert not step.webhook.spec.enabled
    (by_hand,) = plan([item()], [state(enabled=False)]).steps
    assert by_hand.changes == [Change("enabled", False, True)]


def test_what_has_no_owner_is_taken_over_when_asked() -> None:
    with pytest.raises(PlanError, match="take it over with --adopt"):
        plan([item()], [state(owner=None)])
    (step,) = plan([item()], [state(owner=None)], adopt=True).steps
    assert (step.action, step.changes) == ("change", [Change("labels.monitor.managed_by", None, "shop")])
    # What is owned already goes first.
    assert plan([item()], [state(owner=None), state()]).steps == []
    with pytest.raises(PlanError, match="2 webhooks without an owner"):
        plan([item()], [state(owner=None), state(owner=None)], adopt=True)


@pytest.mark.parametrize(
    ("webhooks", "has", "options", "says"),
    [
        ([item()], [state(), state()], {}, "shop has 2 webhooks with the name 'a'"),
        ([item()], [state(signature=SignatureScheme.V1A)], {}, "its signature is v1a and cannot be changed"),
        ([item()], [], {"set_secrets": frozenset({"b"})}, "--set-secrets b: the file has no webhook of this name"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_a_remedy(
    webhooks: list[WebhookItem], has: list[WebhookState], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(PlanError, match=says):
        plan(webhooks, has, **options)


# Silences ------------------------------------------------------------------------------------------------------------


def test_a_silence_is_the_same_by_its_digest_or_by_its_members() -> None:
    wanted = quiet()
    assert plan([], [], silences=[wanted], mutes=[stored(wanted)]).unchanged == 1
    exact = quiet(starts_at=NOW)
    unlike = SilenceState("1", exact.spec, None, "shop", "0" * 12)
    assert plan([], [], silences=[exact], mutes=[unlike]).unchanged == 1


def test_a_changed_silence_is_made_anew_and_a_former_one_ended() -> None:
    before, after = quiet(), quiet(ends_at=NOW + timedelta(days=2))
    (step,) = plan([], [], silences=[after], mutes=[stored(before)]).steps
    assert (step.action, [change.member for change in step.changes]) == ("change", ["ends_at"])
    # The end of the former one failed.
    left = plan([], [], silences=[after], mutes=[stored(before, id_="1"), stored(after, id_="2")])
    assert [(step.action, step.old_silence and step.old_silence.id) for step in left.steps] == [("delete", "1")]
    assert left.unchanged == 1


def test_a_silence_finds_its_webhook_in_the_file_or_on_the_server() -> None:
    about = quiet(webhook="a")
    made = plan([item()], [], silences=[about])
    assert taken(made) == [("create", "a"), ("create", "s")]
    assert made.steps[1].target is None
    assert plan([item()], [state()], silences=[about]).steps[0].target == f"{ID}a"
    assert plan([], [state(owner="other")], silences=[about]).steps[0].target == f"{ID}a"
    assert plan([item()], [state(owner="other")], silences=[about]).steps[1].target is None
    assert plan([item()], [state(owner=None)], silences=[about], adopt=True).steps[1].target == f"{ID}a"
    with pytest.raises(PlanError, match="no single webhook"):
        plan([], [state(owner="one"), state(owner="two")], silences=[about])
    by_id = quiet(webhook_id=msgspec.convert(f"{ID}1", type=Any))
    assert plan([], [], silences=[by_id]).steps[0].target == f"{ID}1"
    # The one that it was about is another one now.
    moved = plan([item()], [state()], silences=[about], mutes=[stored(about, about=f"{ID}9")])
    assert taken(moved) == [("change", "s")]
    named = stored(quiet(webhook="b"), about=f"{ID}9")
    (step,) = plan([item()], [state()], silences=[about], mutes=[named]).steps
    assert Change("webhook", "b", "a") in step.changes


def test_a_silence_that_is_over_is_left_alone() -> None:
    past = quiet(ends_at=NOW)
    assert plan([], [], silences=[past]).over == 1
    assert plan([], [], silences=[quiet()], never=True).over == 1
    assert taken(plan([], [], silences=[past], mutes=[stored(quiet())])) == [("delete", "s")]


def test_silences_of_others_are_left_alone() -> None:
    others = [stored(quiet(), owner="other"), stored(quiet("t"), owner=None)]
    assert taken(plan([], [], silences=[quiet()], mutes=others, prune=True)) == [("create", "s")]
    (step,) = plan([], [], silences=[quiet()], mutes=[stored(quiet(), owner=None)], adopt=True).steps
    assert (step.action, step.changes[-1]) == ("change", Change("owner", None, "shop"))


def test_deletions_come_last_and_silences_before_webhooks() -> None:
    made = plan([item("n")], [state("x")], silences=[quiet("m")], mutes=[stored(quiet("y"))], prune=True)
    assert taken(made) == [("create", "n"), ("create", "m"), ("delete", "y"), ("delete", "x")]
    assert list(plan_lines(made)) == [
        '+ webhook "n"',
        '+ silence "m"',
        '- silence "y"',
        '- webhook "x"',
        "2 to create, 0 to change, 2 to delete, 0 unchanged",
    ]
    data = plan_data(made)
    assert (data["created"], data["deleted"], data["steps"][3]["id"]) == (2, 2, f"{ID}x")


def test_a_plan_says_what_is_left_and_what_is_over() -> None:
    made = plan([item(max_concurrency=1)], [state(), state("b")], silences=[quiet(ends_at=NOW)])
    assert list(plan_lines(made)) == [
        '~ webhook "a"',
        "    max_concurrency: 10 → 1",
        '  left: "b" is not in the file; --prune deletes it',
        "0 to create, 1 to change, 0 to delete, 0 unchanged, 1 over",
    ]


# What the server answers ---------------------------------------------------------------------------------------------


def test_a_webhook_of_an_answer_is_read_without_what_is_new() -> None:
    row = msgspec.to_builtins(spec(labels={"team": "x", "monitor.managed_by": "shop"}))
    read = read_webhook(row | {"id": "1", "version": 3, "disabled": {"reason": "gone"}, "later": 1})
    assert read == WebhookState("1", 3, spec(labels={"team": "x"}), "shop", True)
    del row["reminders"]
    assert not read_webhook(row | {"id": "1", "version": 3, "disabled": None}).auto_disabled


def test_a_silence_of_an_answer_has_its_owner_in_its_reason() -> None:
    silence = quiet()
    row = {
        "id": "1",
        "reason": marked_reason("s\nt", "shop", silence.digest()),
        "created_at": NOW,
        "starts_at": NOW,
        "ends_at": NOW + timedelta(days=1),
        "kind": "latency",
    }
    read = read_silence(row)
    assert (read.name, read.owner, read.digest) == ("s\nt", "shop", silence.digest())
    assert read.spec.ends_at == NOW + timedelta(days=1)
    by_hand = read_silence(row | {"reason": "s [monitor.managed_by=x]"})
    assert (by_hand.name, by_hand.owner) == ("s [monitor.managed_by=x]", None)


def test_the_end_that_the_server_chose_is_none() -> None:
    row = {
        "id": "1",
        "reason": "s",
        "created_at": NOW,
        "starts_at": NOW,
        "ends_at": NOW + MAX_SERIES,
        "duration_s": 60,
        "recurrence": msgspec.to_builtins(Recurrence("FREQ=DAILY", "UTC")),
        "kind": "latency",
    }
    assert read_silence(row).spec.ends_at is None
