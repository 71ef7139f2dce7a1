"""``monitor apply``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from monitor.cli.api_client import ApiClient
from monitor.cli.common import CommandError
from monitor.cli.configuration.apply import Applier
from monitor.cli.configuration.plan import Plan
from monitor.cli.configuration.report import plan_data, plan_lines, title
from monitor.cli.configuration.source import plan_for
from monitor.cli.progress import Progress
from monitor.cli.server_access import connect
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings


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
    done, problem = _take(plan, applier)
    if args.json:
        print(json.dumps(_result(plan, done, problem), ensure_ascii=False))
    elif plan.steps and problem is None:
        print(f"applied: {done} of {len(plan.steps)}")
    if problem is None:
        return 0
    step = plan.steps[done]
    print(
        f"monitor apply: {done} of {len(plan.steps)} done; {title(step)} failed: {problem}\n"
        "Run this again to go on with the rest.",
        file=sys.stderr,
    )
    return 1


def _take(plan: Plan, applier: Applier) -> tuple[int, str | None]:
    """Return how many steps were taken, and why the next one failed."""
    done = 0
    with Progress("applying", len(plan.steps)) as progress:
        try:
            for _ in applier.take(plan):
                done += 1
                progress.add()
        except CommandError as error:
            return done, str(error)
        except KeyboardInterrupt:
            return done, "interrupted, so it may have been done"
    return done, None


def _result(plan: Plan, done: int, problem: str | None) -> dict[str, Any]:
    data = plan_data(plan)
    for number, step in enumerate(data["steps"]):
        step["done"] = number < done
    return data | {"done": done, "problem": problem}


def _is_confirmed(args: argparse.Namespace) -> bool:
    if args.json or not sys.stdin.isatty():
        raise CommandError("give --yes to apply without being asked.")
    print("Apply this? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
