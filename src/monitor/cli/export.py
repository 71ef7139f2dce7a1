"""``monitor export``."""

from __future__ import annotations

import argparse
import json
import sys

from monitor.cli.api_client import ApiClient
from monitor.cli.common import CommandError
from monitor.cli.configuration.export import export_text, repeated_names
from monitor.cli.configuration.source import read_server
from monitor.cli.configuration.yaml_text import read_yaml
from monitor.cli.progress import Progress
from monitor.cli.rows import KINDS, write_csv, write_ndjson
from monitor.cli.server_access import connect
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings

CONFIGURATION = "configuration"


def run(args: argparse.Namespace, settings: Settings) -> int:
    _check(args)
    client = connect(args, settings, Role.ADMIN)
    try:
        if args.what == CONFIGURATION:
            _configuration(args, client)
        else:
            _rows(args, client)
    finally:
        client.close()
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options that the export would not heed. Raises :class:`CommandError`."""
    given = {name for name in ("from_at", "to_at", "webhook", "state", "format") if getattr(args, name) is not None}
    if args.what == CONFIGURATION:
        allowed: set[str] = set()
    else:
        kind = KINDS[args.what]
        allowed = {"format", *kind.conditions} | ({"webhook"} if "{webhook}" in kind.path else set())
        if args.owner is not None:
            raise CommandError("--owner is for the configuration.")
        if "{webhook}" in kind.path and args.webhook is None:
            raise CommandError(f"{args.what} are exported of one webhook; give --webhook ID.")
    if unheeded := sorted(given - allowed):
        options = ", ".join(f"--{name.removesuffix('_at')}" for name in unheeded)
        raise CommandError(f"an export of {args.what} does not take {options}.")
    if args.json and args.format == "csv":
        raise CommandError("give --json or --format csv, not both.")


def _configuration(args: argparse.Namespace, client: ApiClient) -> None:
    server = read_server(client)
    for name in repeated_names(server, args.owner):
        print(
            f"monitor export: several webhooks have the name {name!r}; rename all but one before the file is applied.",
            file=sys.stderr,
        )
    parts = export_text(server, args.owner)
    if args.json:
        print(json.dumps(read_yaml("".join(parts)).value, ensure_ascii=False))
        return
    for part in parts:
        print(part, end="")


def _rows(args: argparse.Namespace, client: ApiClient) -> None:
    kind = KINDS[args.what]
    query = dict(kind.query)
    for option, parameter in kind.conditions.items():
        if (value := getattr(args, option)) is not None:
            query[parameter] = value
    write = (write_csv if args.format == "csv" else write_ndjson)(kind.view, sys.stdout)
    with Progress(f"exporting {args.what}:") as progress:
        for page in client.pages(kind.path.format(webhook=args.webhook), **query):
            for row in page:
                write(row)
            progress.add(len(page))
