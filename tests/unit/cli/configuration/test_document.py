"""Configuration files: what is read, and what is refused where."""

from __future__ import annotations

import pytest

from monitor.cli.configuration.document import Configuration, Reader, Reference, SecretMissing
from monitor.cli.configuration.source import canonical_url
from monitor.cli.configuration.yaml_text import FileError, read_yaml

ENVIRONMENT = {"CHAT": "https://hooks.slack.com/services/a/b"}


def resolve(reference: Reference) -> str:
    if reference.env not in ENVIRONMENT:
        raise SecretMissing(f"{reference} is not set; export it.")
    return ENVIRONMENT[reference.env]


def read(text: str, owner: str | None = "shop") -> Configuration:
    return Reader(read_yaml(text), resolve, canonical_url, owner).read()


def problems(text: str, owner: str | None = "shop") -> list[str]:
    with pytest.raises(FileError) as refused:
        read(text, owner)
    return refused.value.lines("f")


def webhook(members: str) -> str:
    return f"webhooks:\n- name: a\n  url: https://a.example.com/\n{members}"


def test_an_empty_file_is_an_empty_configuration() -> None:
    assert read("") == Configuration("shop", [], [])
    assert read("owner: mine\nwebhooks:\nsilences: []", None) == Configuration("mine", [], [])


def test_a_webhook_is_read_as_the_server_would_show_it() -> None:
    (item,) = read(
        "webhooks:\n- {name: a, url: {env: CHAT}, body_format: slack, event_types: [b, b],"
        " headers: {X: y, Z: {file: z}}, secret: {env: S}}"
    ).webhooks
    assert (item.name, item.spec.url, item.spec.event_types) == ("a", ENVIRONMENT["CHAT"], ["b"])
    assert item.spec.headers == {"X": "***", "Z": "***"}
    assert item.headers == {"X": "y", "Z": Reference(file="z")}
    assert item.secret == Reference(env="S")
    assert [str(Reference(env="S")), str(Reference(file="z"))] == ["the environment variable S", "the file z"]
    (mail,) = read("webhooks: [{name: a, url: 'MAILTO:b@Example.org'}]").webhooks
    assert (mail.spec.url, mail.spec.body_format) == ("mailto:b@example.org", "email")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", ["f:1:1: give `webhooks:` and `silences:` here."]),
        ("webhook: []", ["f:1:10: there is no `webhook`; a file has `owner`, `webhooks` and `silences`."]),
        ("webhooks: 1", ["f:1:11: give a list."]),
        ("webhooks:\n- 1", ["f:2:3: give the members of one, such as `name: …`."]),
        (webhook("  urll: x"), ["f:2:3: Object contains unknown field `urll`."]),
        (webhook("  retry:\n    jitter_ratio: x"), ["f:5:19: Expected `float`, got `str` (retry.jitter_ratio)."]),
        (webhook("  event_types: [a, 1]"), ["f:4:20: Expected `str`, got `int` (event_types.1)."]),
        (webhook("  labels: {a: 1}"), ["f:4:11: Expected `str`, got `int` (labels)."]),
        (webhook("  event_types: ['a b']"), ["f:4:17: Use an event type (order.paid), a prefix (order.*) or *."]),
        (
            webhook("  headers: {a/b: {env: X}}"),
            ["f:4:18: A header name is 1 to 128 letters, digits or !#$%&'*+.^_`|~-."],
        ),
        (webhook("  labels: {monitor.managed_by: x}"), ["f:4:32: leave this label out; it is set to the owner."]),
        (
            webhook("  secret: whsec_x"),
            ["f:4:11: a signing secret stands in no file: give {env: NAME} or {file: PATH}."],
        ),
        (webhook("  secret: {env: A, file: B}"), ["f:4:11: give {env: NAME} or {file: PATH}."]),
        (webhook("  secret: [x]"), ["f:4:11: give {env: NAME} or {file: PATH}."]),
        (webhook("  headers: {A: {evn: X}}"), ["f:4:16: give {env: NAME} or {file: PATH}."]),
        (
            webhook("  headers: {A: '***'}"),
            ["f:4:16: *** is no value: give it, or {env: NAME} or {file: PATH}."],
        ),
        (webhook("  headers: {A: 1}"), ["f:4:12: Expected `str`, got `int` (headers)."]),
        ("webhooks: [{name: a}]", ["f:1:12: Object missing required field `url`."]),
        ("webhooks: [{name: a, url: {}}]", ["f:1:27: give {env: NAME} or {file: PATH}."]),
        (
            "webhooks: [{name: a, url: {env: X}}]",
            ["f:1:27: the environment variable X is not set; export it."],
        ),
        (
            "webhooks: [{name: a, url: 'ftp://x'}]",
            ["f:1:27: the URL has to start with https://, or http:// where the egress profile allows it."],
        ),
        (
            webhook("- name: a\n  url: https://b.example.com"),
            ["f:4:9: an earlier one has the name 'a', too; rename one of them."],
        ),
        ("silences: [{reason: a, kind: x}]", ["f:1:30: Invalid enum value 'x' (kind)."]),
        (
            "silences:\n- {reason: a, kind: latency, duration_s: 60}",
            ["f:2:3: give `ends_at` and no `duration_s`, which would begin anew each time the file is applied."],
        ),
        (
            "silences:\n- {reason: a, kind: latency, recurrence: {rrule: FREQ=DAILY, timezone: UTC}}",
            ["f:2:42: give `starts_at`, from which it is counted, and `duration_s`."],
        ),
        (
            "silences:\n- {reason: a, ends_at: 2030-01-01T00:00:00Z}",
            ["f:2:3: name what to silence: webhook, webhook_id, label or kind."],
        ),
        (
            "silences:\n- {reason: a, ends_at: 2030-01-01T00:00:00Z, webhook: [b]}",
            ["f:2:55: give the name of a webhook, or its `webhook_id`, and not both."],
        ),
        (
            f"silences:\n- {{reason: {'a' * 401}, kind: latency, ends_at: 2030-01-01T00:00:00Z}}",
            ["f:2:12: use at most 400 characters."],
        ),
        (
            "silences:\n- &s {reason: a, kind: latency, ends_at: 2030-01-01T00:00:00Z}\n- *s",
            ["f:2:15: an earlier one has the reason 'a', too; tell their reasons apart."],
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(text: str, said: list[str]) -> None:
    assert problems(text) == said


@pytest.mark.parametrize(
    ("text", "owner", "says"),
    [
        ("webhooks: []", None, "say whose configuration this is"),
        ("owner: 1", None, "an owner is 1 to 63"),
        ("", "a b", "an owner is 1 to 63"),
        ("owner: a", "b", "the file is of 'a', and --owner says 'b'"),
    ],
)
def test_a_file_has_one_owner(text: str, owner: str | None, says: str) -> None:
    (problem,) = problems(text, owner)
    assert says in problem


def test_all_problems_are_said_at_once_up_to_a_bound() -> None:
    assert len(problems("webhooks:\n" + "- {name: a, url: x}\n" * 3)) == 3
    assert len(problems("webhooks:\n" + "- {name: a, url: x}\n" * 30)) == 20
