"""
The plan that makes a server agree with a file. Pure.

An owner's webhooks are found by the label ``monitor.managed_by`` and matched by name, silences by the mark in their
reason and the reason itself. Nothing of others is changed or deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from monitor.cli.configuration.document import Configuration, SilenceItem, WebhookItem
from monitor.cli.configuration.server_state import ServerState, SilenceState, WebhookState
from monitor.domain.vocab import OWNER_LABEL
from monitor.domain.webhooks.chat_url import origin, shown_url
from monitor.domain.webhooks.registration import WebhookSpec
from monitor.domain.webhooks.webhook import MASK

EVERY = "*"
"""Stands for every webhook of the file, where their secrets are to be sent again."""

_FILLED_IN = frozenset({"starts_at", "ends_at"})
"""Members of a silence that the server sets if left out."""

Action = Literal["create", "change", "delete"]


class PlanError(Exception):
    """File and server do not fit; *problems* are lines with a remedy each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Change(msgspec.Struct, frozen=True):
    """A member before and after, without secrets; null stands for its absence."""

    member: str
    before: Any = None
    after: Any = None


class Step(msgspec.Struct, frozen=True):
    """
    One write.

    Attributes:
        headers: those sent with their values.
        set_secret: the signing secret is replaced by that of the file.
        target: the id of the webhook that a silence names; ``None`` for one that an earlier step creates.
    """

    action: Action
    kind: Literal["webhook", "silence"]
    name: str
    changes: list[Change] = []
    webhook: WebhookItem | None = None
    silence: SilenceItem | None = None
    old_webhook: WebhookState | None = None
    old_silence: SilenceState | None = None
    headers: frozenset[str] = frozenset()
    set_secret: bool = False
    target: str | None = None


class Plan(msgspec.Struct, frozen=True):
    """
    Attributes:
        steps: in the order of execution: what others refer to comes first, deletions last.
        left: of the owner and not in the file; only pruning deletes them.
        over: silences of the file that have ended.
    """

    steps: list[Step]
    unchanged: int = 0
    left: list[str] = []
    over: int = 0

    def count(self, action: Action) -> int:
        return sum(step.action == action for step in self.steps)


class Options(msgspec.Struct, frozen=True):
    """
    Attributes:
        prune: delete what is of the owner and not in the file.
        adopt: take over what has no owner and the name of one in the file.
        set_secrets: names of webhooks with secrets to send again.
    """

    prune: bool = False
    adopt: bool = False
    set_secrets: frozenset[str] = frozenset()


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> str | None: ...


State = TypeVar("State", bound=_Named)


def make_plan(
    wanted: Configuration, server: ServerState, options: Options, *, never_occurs: Callable[[SilenceItem], bool]
) -> Plan:
    """
    Compare *wanted* with *server*.

    Args:
        never_occurs: whether a silence that is to be created has no occurrence left.

    Raises:
        PlanError: two of one owner have the same name, or others are in the way.
    """
    planner = _Planner(wanted, server, options, never_occurs)
    webhooks, silences = list(planner.webhooks()), list(planner.silences())
    if planner.problems:
        raise PlanError(planner.problems)
    steps = [*webhooks, *silences]
    steps.sort(key=lambda step: (step.action == "delete", step.action == "delete" and step.kind == "webhook"))
    return Plan(steps, planner.unchanged, planner.left, planner.over)


class _Planner:
    def __init__(
        self,
        wanted: Configuration,
        server: ServerState,
        options: Options,
        never_occurs: Callable[[SilenceItem], bool],
    ) -> None:
        self._wanted = wanted
        self._server = server
        self._options = options
        self._never_occurs = never_occurs
        self._by_name: dict[str, list[WebhookState]] = defaultdict(list)
        for state in server.webhooks:
            self._by_name[state.name].append(state)
        self._in_file = {item.name for item in wanted.webhooks}
        self._digests = {item.name: item.digest() for item in wanted.silences}
        self._kept = {
            state.name
            for state in server.silences
            if state.owner == wanted.owner and state.digest == self._digests.get(state.name)
        }
        self.problems: list[str] = []
        self.unchanged = 0
        self.left: list[str] = []
        self.over = 0

    def webhooks(self) -> Iterator[Step]:
        for name in sorted(self._options.set_secrets - self._in_file - {EVERY}):
            self.problems.append(f"--set-secrets {name}: the file has no webhook of this name.")
        states = self._matched(self._server.webhooks, self._in_file, "webhook", "name")
        for item in self._wanted.webhooks:
            state = states.pop(item.name, None)
            if state is None:
                yield Step("create", "webhook", item.name, webhook=item, headers=frozenset(item.headers))
            elif (step := self._changed(item, state)) is not None:
                yield step
            else:
                self.unchanged += 1
        for state in self._rest(states.values()):
            yield Step("delete", "webhook", state.name, old_webhook=state)

    def silences(self) -> Iterator[Step]:
        current = [state for state in self._server.silences if not self._is_former(state)]
        states = self._matched(current, self._digests, "silence", "reason")
        for item in self._wanted.silences:
            state = states.pop(item.name, None)
            target = self._target(item)
            if state is not None and self._is_same(item, state, target):
                self.unchanged += 1
            elif self._is_over(item):
                self.over += 1
                if state is not None:
                    yield Step("delete", "silence", item.name, old_silence=state)
            elif state is None:
                yield Step("create", "silence", item.name, silence=item, target=target)
            else:
                changes = _silence_changes(item, state, self._wanted.owner)
                yield Step("change", "silence", item.name, changes, silence=item, old_silence=state, target=target)
        for former in filter(self._is_former, self._server.silences):
            yield Step("delete", "silence", former.name, old_silence=former)
        for state in self._rest(states.values()):
            yield Step("delete", "silence", state.name, old_silence=state)

    # Matching --------------------------------------------------------------------------------------------------------

    def _matched(self, states: Iterable[State], known: Collection[str], kind: str, member: str) -> dict[str, State]:
        """Return the states of the owner by name, and those that are taken over."""
        owned: dict[str, list[State]] = defaultdict(list)
        free: dict[str, list[State]] = defaultdict(list)
        for state in states:
            if state.owner == self._wanted.owner:
                owned[state.name].append(state)
            elif state.owner is None and state.name in known:
                free[state.name].append(state)
        for name, same in owned.items():
            if len(same) > 1:
                self.problems.append(
                    f"{self._wanted.owner} has {len(same)} {kind}s with the {member} {name!r}; rename or delete all but"
                    " one by the API or on the page."
                )
        for name, same in free.items():
            if name in owned:
                continue
            if not self._options.adopt:
                self.problems.append(
                    f"the server has a {kind} with the {member} {name!r} that has no owner; take it over with --adopt,"
                    f" or choose another {member}."
                )
            elif len(same) > 1:
                self.problems.append(
                    f"{len(same)} {kind}s without an owner have the {member} {name!r}; rename those that are not to be"
                    " taken over."
                )
            else:
                owned[name] = same
        return {name: same[0] for name, same in owned.items()}

    def _rest(self, states: Iterable[State]) -> list[State]:
        """Return what of the owner is deleted, since the file lacks it."""
        rest = list(states)
        if self._options.prune:
            return rest
        self.left += [state.name for state in rest]
        return []

    # Webhooks --------------------------------------------------------------------------------------------------------

    def _changed(self, item: WebhookItem, state: WebhookState) -> Step | None:
        spec = item.spec
        if state.auto_disabled and spec.enabled:
            # Configured as enabled: that Monitor disabled it is a state, which a user ends.
            spec = replace(spec, enabled=False)
        if spec.signature is not state.spec.signature:
            self.problems.append(
                f"webhook {item.name!r}: its signature is {state.spec.signature} and cannot be changed; give the new"
                " one another name."
            )
            return None
        again = not self._options.set_secrets.isdisjoint({EVERY, item.name})
        moved = origin(spec.url) != origin(state.spec.url)
        new = spec.headers.keys() - state.spec.headers.keys()
        headers = frozenset(spec.headers) if again or moved else frozenset(new)
        set_secret = again and item.secret is not None
        changes = _webhook_changes(state.spec, spec)
        if state.owner != self._wanted.owner:
            changes.append(Change(f"labels.{OWNER_LABEL}", None, self._wanted.owner))
        changes += [Change(f"headers.{name}", MASK, MASK) for name in sorted(headers - new)]
        changes += [Change("secret", MASK, MASK)] if set_secret else []
        if not changes:
            return None
        return Step(
            "change", "webhook", item.name, changes, webhook=replace(item, spec=spec), old_webhook=state,
            headers=headers, set_secret=set_secret,
        )  # fmt: skip

    # Silences --------------------------------------------------------------------------------------------------------

    def _is_former(self, state: SilenceState) -> bool:
        """Whether *state* was replaced by another one, after which its own end failed."""
        is_ours = state.owner == self._wanted.owner and state.name in self._kept
        return is_ours and state.digest != self._digests[state.name]

    def _target(self, item: SilenceItem) -> str | None:
        """Return the id of the webhook that a silence is about; ``None`` for none, or for one that is to be created."""
        if item.webhook is None:
            return None if item.spec.webhook_id is None else str(item.spec.webhook_id)
        named = self._by_name.get(item.webhook, [])
        groups = [[state for state in named if state.owner == owner] for owner in (self._wanted.owner, None)]
        in_file = item.webhook in self._in_file
        found = next((group[0].id for group in (*groups, *([] if in_file else [named])) if len(group) == 1), None)
        if found is None and not in_file:
            self.problems.append(
                f"silence {item.name!r}: no single webhook of the file or the server has the name {item.webhook!r};"
                " give its webhook_id."
            )
        return found

    def _is_same(self, item: SilenceItem, state: SilenceState, target: str | None) -> bool:
        about = None if state.spec.webhook_id is None else str(state.spec.webhook_id)
        if state.owner != self._wanted.owner or about != target:
            return False
        return state.digest == item.digest() or replace(item.spec, webhook_id=state.spec.webhook_id) == state.spec

    def _is_over(self, item: SilenceItem) -> bool:
        ends_at = item.spec.ends_at
        return (ends_at is not None and ends_at <= self._server.at) or self._never_occurs(item)


def _webhook_changes(before: WebhookSpec, after: WebhookSpec) -> list[Change]:
    old, new = _shown(before), _shown(after)
    changes = list(_differences("", old, new))
    if before.url != after.url and old["url"] == new["url"]:
        changes.append(Change("url", old["url"], new["url"]))
    return changes


def _shown(spec: WebhookSpec) -> dict[str, Any]:
    """Return *spec* as it may be shown: of the URL of a chat service its origin."""
    members: dict[str, Any] = msgspec.to_builtins(spec)
    return members | {"url": shown_url(spec.url, spec.body_format)}


def _silence_changes(item: SilenceItem, state: SilenceState, owner: str) -> list[Change]:
    wanted = replace(item.spec, webhook_id=state.spec.webhook_id) if item.webhook == state.webhook_name else item.spec
    differences = _differences("", msgspec.to_builtins(state.spec), msgspec.to_builtins(wanted))
    changes = [one for one in differences if not (one.after is None and one.member in _FILLED_IN)]
    if item.webhook is not None and item.webhook != state.webhook_name:
        changes.append(Change("webhook", state.webhook_name, item.webhook))
    if state.owner != owner:
        changes.append(Change("owner", state.owner, owner))
    return changes


def _differences(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            inner = f"{path}.{name}" if path else name
            yield from _differences(inner, before.get(name), after.get(name))
    elif before != after:
        yield Change(path, before, after)
