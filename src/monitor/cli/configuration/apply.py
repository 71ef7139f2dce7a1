"""Takes the steps of a plan by the API of a server."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from monitor.cli.api_client import Answer, ApiClient, ApiRefused
from monitor.cli.common import CommandError
from monitor.cli.configuration.document import Configuration, Reference, Resolve, SecretMissing, WebhookItem
from monitor.cli.configuration.plan import Plan, Step
from monitor.cli.configuration.server_state import WebhookState, marked_reason, read_webhook
from monitor.domain.vocab import OWNER_LABEL
from monitor.domain.webhooks.webhook import MASK


def stages(plan: Plan) -> list[list[int]]:
    """Return the numbers of the steps in groups: a silence may name a webhook of an earlier group, and is ended before
    a webhook of a later one is deleted."""
    numbers = range(len(plan.steps))
    return [list(group) for _, group in groupby(numbers, lambda number: _stage(plan.steps[number]))]


def _stage(step: Step) -> tuple[bool, str]:
    return step.action == "delete", step.kind


class Applier:
    """
    Args:
        run: distinguishes this run in the keys of its calls, of which each may be made more than once.
    """

    def __init__(self, client: ApiClient, wanted: Configuration, resolve: Resolve, *, run: str = "") -> None:
        self._client = client
        self._owner = wanted.owner
        self._resolve = resolve
        self._run = run or uuid4().hex
        self._ids: dict[str, str] = {}

    def check_secrets(self, plan: Plan) -> None:
        """Read every secret that *plan* sends, before anything is written. Raises :class:`CommandError`."""
        problems: list[str] = []
        for step in plan.steps:
            if step.webhook is not None:
                for member, reference in self._sent(step, step.webhook):
                    try:
                        self._resolve(reference)
                    except SecretMissing as error:
                        problems.append(f"webhook {step.name!r}, {member}: {error}")
        if problems:
            raise CommandError("\n".join(problems))

    def _sent(self, step: Step, item: WebhookItem) -> Iterator[tuple[str, Reference]]:
        for name in sorted(step.headers):
            if isinstance(value := item.headers.get(name), Reference):
                yield f"headers.{name}", value
        if item.secret is not None and (step.set_secret or step.action == "create"):
            yield "secret", item.secret

    def take(self, number: int, step: Step) -> None:
        """
        Take a step of the plan. Safe from several threads for steps of one stage (:func:`stages`).

        Raises:
            CommandError: it failed, or its answer did not come.
        """
        key = f"{self._run}-{number}"
        if step.kind == "silence":
            self._silence(step, key)
        elif step.webhook is not None:
            self._webhook(step, step.webhook, key)
        elif step.old_webhook is not None:
            self._delete(step, step.old_webhook)

    # Webhooks --------------------------------------------------------------------------------------------------------

    def _webhook(self, step: Step, item: WebhookItem, key: str) -> None:
        body = msgspec.to_builtins(item.spec)
        body["labels"] = {**body["labels"], OWNER_LABEL: self._owner}
        body["headers"] = {name: self._header(item, name, step) for name in item.spec.headers}
        if step.old_webhook is None:
            if item.secret is not None:
                body["secret"] = self._resolve(item.secret)
            created = self._client.call("POST", "webhooks", body, Idempotency_Key=key)
            self._ids[item.name] = created.body["id"]
            return
        path = f"webhooks/{step.old_webhook.id}"
        tag = self._unchanged_tag(step)
        if tag is None:
            raise CommandError(f"webhook {item.name!r} was deleted after the plan was made; run this again.")
        self._put(path, body, tag, item)
        if step.set_secret and item.secret is not None:
            self._client.call(
                "POST", f"{path}/rotate-secret", {"secret": self._resolve(item.secret)}, Idempotency_Key=key
            )

    def _delete(self, step: Step, old: WebhookState) -> None:
        tag = self._unchanged_tag(step)
        if tag is None:
            return
        try:
            self._client.call("DELETE", f"webhooks/{old.id}", If_Match=tag)
        except ApiRefused as error:
            # That of a call with a lost answer.
            if error.status != 404:
                raise

    def _put(self, path: str, body: Any, tag: str, item: WebhookItem) -> None:
        try:
            self._client.call("PUT", path, body, If_Match=tag)
        except ApiRefused as error:
            # The change of a call with a lost answer is found by the next one.
            if error.status != 412 or read_webhook(self._client.get(path).body).spec != item.spec:
                raise

    def _header(self, item: WebhookItem, name: str, step: Step) -> str:
        value = item.headers[name]
        if name not in step.headers:
            return MASK
        return value if isinstance(value, str) else self._resolve(value)

    def _unchanged_tag(self, step: Step) -> str | None:
        """
        Return the entity tag of the webhook that *step* changes; ``None`` if it is gone.

        Raises:
            CommandError: it was changed after it was planned.
        """
        old = step.old_webhook
        if old is None:
            return None
        try:
            answer: Answer = self._client.get(f"webhooks/{old.id}")
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise
        if answer.body["version"] != old.version:
            raise CommandError(f"webhook {old.name!r} was changed after the plan was made; run this again.")
        return answer.headers["etag"]

    # Silences --------------------------------------------------------------------------------------------------------

    def _silence(self, step: Step, key: str) -> None:
        """Create a silence, and end the one that it replaces: in this order, so that no alert comes in between."""
        if (item := step.silence) is not None:
            reason = marked_reason(item.spec.reason, self._owner, item.digest())
            body = msgspec.to_builtins(replace(item.spec, reason=reason))
            if item.webhook is not None:
                body["webhook_id"] = self._ids.get(item.webhook) or step.target
            given = {name: value for name, value in body.items() if value is not None}
            self._client.call("POST", "silences", given, Idempotency_Key=key)
        if step.old_silence is not None:
            self._client.call("DELETE", f"silences/{step.old_silence.id}")
