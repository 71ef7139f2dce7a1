"""``monitor apply``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from monitor.cli.api_client import ApiClient
from monitor.cli.common import CommandError
from monitor.cli.configuration.apply import Applier, stages
from monitor.cli.configuration.parallel import Outcome, run_parallel
from monitor.cli.configuration.plan import Plan
from monitor.cli.configuration.report import plan_data, plan_lines, title
from monitor.cli.configuration.source import plan_for
from monitor.cli.progress import Progress
from monitor.cli.server_access import connect
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells report it."""


def run(args: argparse.Namespace, settings: Settings) -> int:
    client = connect(args, settings, Role.ADMIN)
    try:
        return _apply(args, client)
    finally:
        client.close()


def _apply(args: argparse.Namespace, client: ApiClient) -> int:
    wanted, resolve, plan = plan_for(args, client)
    applier = Applier(client, wanted, resolve)
    applier.check_secrets(plan)
    if not args.json:
        print("\n".join(plan_lines(plan)), flush=True)
    if plan.steps and not args.yes and not _is_confirmed(args):
        print("monitor apply: nothing was changed.", file=sys.stderr)
        return 1
    outcome = _take(plan, applier, client, args.parallel)
    if args.json:
        print(json.dumps(_result(plan, outcome), ensure_ascii=False))
    elif plan.steps and not outcome.ended:
        print(f"applied: {len(outcome.done)} of {len(plan.steps)}")
    if not outcome.ended:
        return 0
    print("\n".join(_failure_lines(plan, outcome)), file=sys.stderr)
    return INTERRUPTED if outcome.interrupted else 1


def _take(plan: Plan, applier: Applier, client: ApiClient, parallel: int) -> Outcome:
    with Progress("applying", len(plan.steps)) as progress:
        return run_parallel(
            stages(plan),
            lambda number: applier.take(number, plan.steps[number]),
            parallel=parallel,
            stop=client.stop,
            cut=client.cut,
            progress=progress.add,
        )


def _failure_lines(plan: Plan, outcome: Outcome) -> Iterator[str]:
    done, failed, total = len(outcome.done), outcome.failed, len(plan.steps)
    problems = [f"{title(plan.steps[number])} failed: {failed[number]}" for number in sorted(failed)]
    if outcome.interrupted:
        problems.insert(0, "interrupted")
    yield f"monitor apply: {done} of {total} done; {problems[0]}"
    yield from problems[1:]
    if left := total - done - len(failed):
        yield f"{left} not begun."
    yield "Run this again to go on with the rest."


def _result(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    data = plan_data(plan)
    for number, step in enumerate(data["steps"]):
        step["done"] = number in outcome.done
        step["problem"] = outcome.failed.get(number)
    first = outcome.failed[min(outcome.failed)] if outcome.failed else None
    return data | {"done": len(outcome.done), "problem": "interrupted" if outcome.interrupted else first}


def _is_confirmed(args: argparse.Namespace) -> bool:
    if args.json or not sys.stdin.isatty():
        raise CommandError("give --yes to apply without being asked.")
    print("Apply this? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
