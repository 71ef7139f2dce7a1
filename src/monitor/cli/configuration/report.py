"""A plan as text and as data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from monitor.cli.configuration.plan import Plan, Step

_MARKS = {"create": "+", "change": "~", "delete": "-"}


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the plan as people read it."""
    for step in plan.steps:
        yield f"{_MARKS[step.action]} {title(step)}"
        for change in step.changes:
            if change.before == change.after:
                yield f"    {change.member}: set again; its value is not shown"
            else:
                yield f"    {change.member}: {_shown(change.before)} → {_shown(change.after)}"
    for name in plan.left:
        yield f"  left: {_quoted(name)} is not in the file; --prune deletes it"
    counts = (
        f"{plan.count('create')} to create, {plan.count('change')} to change, {plan.count('delete')} to delete,"
        f" {plan.unchanged} unchanged"
    )
    yield counts + (f", {plan.over} over" if plan.over else "")


def title(step: Step) -> str:
    """Return what a step writes, in a line."""
    return f"{step.kind} {_quoted(step.name)}"


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return the plan for scripts."""
    return {
        "steps": [step_data(step) for step in plan.steps],
        "created": plan.count("create"),
        "changed": plan.count("change"),
        "deleted": plan.count("delete"),
        "unchanged": plan.unchanged,
        "left": plan.left,
        "over": plan.over,
    }


def step_data(step: Step) -> dict[str, Any]:
    old = step.old_webhook or step.old_silence
    return {
        "action": step.action,
        "kind": step.kind,
        "name": step.name,
        "id": None if old is None else old.id,
        "changes": msgspec.to_builtins(step.changes),
    }


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
