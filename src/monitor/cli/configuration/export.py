"""What a server has, as a configuration file: defaults left out, secrets as references. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from monitor.cli.configuration.server_state import ServerState, SilenceState, WebhookState
from monitor.cli.configuration.yaml_text import add_core_resolvers
from monitor.domain.webhooks.chat_url import is_chat_url
from monitor.domain.webhooks.mail_url import is_mail_url
from monitor.domain.webhooks.registration import WebhookSpec

WIDE = 4096
"""Characters of a line, so that texts are not folded."""

_NOT_IN_NAME = re.compile(r"[^A-Z0-9]+")
_DEFAULTS: dict[str, Any] = msgspec.to_builtins(WebhookSpec(name="-", url="-"))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes what either version of YAML reads as something else than text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - a copy of that of the base class
        first: list(rules) for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }


add_core_resolvers(_Dumper)


def export_text(server: ServerState, owner: str | None) -> Iterator[str]:
    """
    Yield the parts of a file, by name: two exports of one configuration are the same, however it came to be.

    Args:
        owner: only what is of this owner, which then is that of the file; ``None`` exports everything.
    """
    webhooks = sorted((row for row in server.webhooks if owner in (None, row.owner)), key=_order)
    silences = sorted((row for row in server.silences if owner in (None, row.owner)), key=_order)
    names = Counter(state.name for state in webhooks)
    variables = _Variables()
    if owner is not None:
        yield _dumped({"owner": owner})
    yield "webhooks:" + (" []\n" if not webhooks else "\n")
    for webhook in webhooks:
        yield _dumped([webhook_row(webhook, variables)])
    if silences:
        yield "silences:\n"
    for silence in silences:
        yield _dumped([silence_row(silence, is_unique=names[silence.webhook_name or ""] == 1)])


def _order(state: WebhookState | SilenceState) -> tuple[str, str]:
    return state.name, state.id


def repeated_names(server: ServerState, owner: str | None) -> list[str]:
    """Return the names that several exported webhooks have, so that the file cannot be applied."""
    names = Counter(state.name for state in server.webhooks if owner in (None, state.owner))
    return sorted(name for name, count in names.items() if count > 1)


class _Variables:
    """Names of environment variables, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def reference(self, *parts: str) -> dict[str, str]:
        words = [_NOT_IN_NAME.sub("_", part.upper()).strip("_") for part in ("webhook", *parts)]
        base = name = "_".join(filter(None, words))
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return {"env": name}


def webhook_row(state: WebhookState, variables: _Variables) -> dict[str, Any]:
    """Return the members of a webhook in a file."""
    spec = state.spec
    members: dict[str, Any] = msgspec.to_builtins(spec)
    row = {name: value for name, value in members.items() if value != _DEFAULTS[name]}
    if "retry" in row:
        row["retry"] = {name: value for name, value in row["retry"].items() if value != _DEFAULTS["retry"][name]}
    if is_mail_url(spec.url):
        row.pop("body_format", None)
    elif is_chat_url(spec.url, spec.body_format):
        row["url"] = variables.reference(spec.name, "url")
    if state.auto_disabled:
        row.pop("enabled", None)
    if spec.headers:
        row["headers"] = {name: variables.reference(spec.name, name) for name in spec.headers}
    return row | {"secret": variables.reference(spec.name, "secret")}


def silence_row(state: SilenceState, *, is_unique: bool) -> dict[str, Any]:
    """Return the members of a silence in a file; *is_unique*: the name of its webhook identifies it."""
    members: dict[str, Any] = msgspec.to_builtins(state.spec)
    row = {name: value for name, value in members.items() if value is not None and value is not False}
    if is_unique and row.pop("webhook_id", None):
        row["webhook"] = state.webhook_name
    return row


def _dumped(value: Any) -> str:
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDE))
