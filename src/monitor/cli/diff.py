"""``monitor diff``."""

from __future__ import annotations

import argparse
import json

from monitor.cli.configuration.report import plan_data, plan_lines
from monitor.cli.configuration.source import plan_for
from monitor.cli.server_access import connect
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings

DIFFERENT = 2


def run(args: argparse.Namespace, settings: Settings) -> int:
    client = connect(args, settings, Role.ADMIN)
    try:
        _, _, plan = plan_for(args, client)
    finally:
        client.close()
    if args.json:
        print(json.dumps(plan_data(plan), ensure_ascii=False))
    else:
        print("\n".join(plan_lines(plan)))
    return DIFFERENT if plan.steps else 0
