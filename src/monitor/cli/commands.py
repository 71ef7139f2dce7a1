"""
The commands with their options. Light to import: what a command does is in the module of its name, imported when it
runs.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from monitor import __version__
from monitor.cli.common import (
    DEFAULT_DATA_DIR,
    DEFAULT_HOST,
    DEFAULT_PARALLEL,
    MAX_PARALLEL,
    add_address,
    add_json,
    add_server,
    count,
    environment,
    parallel,
    port,
    production,
    seconds,
)
from monitor.domain.live.messages import TOPICS
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings

SHELLS = ("bash", "zsh", "fish")
EXPORTS = ("configuration", "webhooks", "silences", "events", "deliveries", "attempts", "alerts", "audit-log")
ROW_FORMATS = ("ndjson", "csv")


class Command(NamedTuple):
    """
    Attributes:
        settings: returns the settings that the command runs with, complete before its module is imported.
        failure: exit code of an error of usage, of settings or of a server behind it.
    """

    name: str
    summary: str
    details: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], object]
    settings: Callable[[], Settings] = environment
    failure: int = 2


def _add_migrate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--grant",
        metavar="ROLE",
        help="then give the role of serve and work its rights to rows",
    )
    add_json(sub)


def _up(sub: argparse.ArgumentParser) -> None:
    add_address(sub)
    sub.add_argument(
        "--data-dir", type=Path, default=DEFAULT_DATA_DIR, help=f"directory of all data (default ./{DEFAULT_DATA_DIR})"
    )
    sub.add_argument("--demo", action="store_true", help="add receivers on loopback and live traffic")


def _serve(sub: argparse.ArgumentParser) -> None:
    add_address(sub)
    _processes(sub, "server")


def _processes(sub: argparse.ArgumentParser, kind: str) -> None:
    sub.add_argument("--processes", type=count, default=1, help=f"{kind} processes (default 1)")
    # From a parent to its children: descriptors of the lifeline and of the sockets to listen on.
    sub.add_argument("--inherited", type=_numbers, default=(), help=argparse.SUPPRESS)
    # Its slot, and descriptors of the memory that the children share for their metrics.
    sub.add_argument("--metrics-memory", type=_numbers, default=(), help=argparse.SUPPRESS)


def _work(sub: argparse.ArgumentParser) -> None:
    _processes(sub, "worker")
    sub.add_argument(
        "--concurrency", type=count, help="concurrent attempts of each process (default MONITOR_WORKER__CONCURRENCY)"
    )
    sub.add_argument("--port", type=port, help="serve /health/live, /health/ready and /metrics here, without a token")
    sub.add_argument("--host", default=DEFAULT_HOST, help=f"address that --port is on (default {DEFAULT_HOST})")


def _token(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--role", choices=[role.value for role in Role], help="role of the token")
    sub.add_argument("--subject", help="subject of the token, shown in the audit log")
    sub.add_argument("--ttl", type=seconds, default=3600.0, help="lifetime: 90s, 15m, 1h, 30d (default 1h)")
    sub.add_argument("--data-dir", type=Path, help="data directory of the `monitor up` that the token is for")
    sub.add_argument("--revoke", metavar="JTI", help="revoke a token, given as a whole or by its `jti`")
    add_json(sub)


def _export(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "what", nargs="?", default=EXPORTS[0], choices=EXPORTS, help=f"what to export (default {EXPORTS[0]})"
    )
    sub.add_argument("--owner", help="only the configuration of this owner")
    sub.add_argument("--format", choices=ROW_FORMATS, help="of rows (default ndjson); the configuration is YAML")
    sub.add_argument("--from", dest="from_at", metavar="TIME", help="only rows since this time (RFC 3339)")
    sub.add_argument("--to", dest="to_at", metavar="TIME", help="only rows before this time (RFC 3339)")
    sub.add_argument("--webhook", metavar="ID", help="only rows of this webhook")
    sub.add_argument("--state", help="only deliveries, alerts or silences in this state")
    add_server(sub)
    add_json(sub)


def _diff(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", type=Path, metavar="FILE", help="configuration in YAML; - reads standard input")
    sub.add_argument("--owner", help="whose configuration it is, unless the file says so")
    sub.add_argument("--prune", action="store_true", help="delete what the owner has and the file lacks")
    sub.add_argument("--adopt", action="store_true", help="take over what has no owner and the name of one in the file")
    sub.add_argument(
        "--set-secrets",
        action="append",
        metavar="WEBHOOK",
        help="send the secret and header values of this webhook again; * for all in the file",
    )
    add_server(sub)
    add_json(sub)


def _apply(sub: argparse.ArgumentParser) -> None:
    _diff(sub)
    sub.add_argument("--yes", action="store_true", help="apply without being asked")
    sub.add_argument(
        "--parallel",
        type=parallel,
        default=DEFAULT_PARALLEL,
        metavar="N",
        help=f"changes at once, 1 to {MAX_PARALLEL} (default {DEFAULT_PARALLEL})",
    )


def _tail(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--topic", action="append", choices=TOPICS, help="only messages of this topic; may be repeated")
    sub.add_argument("--webhook", action="append", metavar="ID", help="only about this webhook; may be repeated")
    add_server(sub)
    add_json(sub)


def _nothing(_sub: argparse.ArgumentParser) -> None:
    """The command has no options."""


def _completion(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("shell", choices=SHELLS, help="shell that reads the script")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


COMMANDS = (
    Command(
        "up",
        "Run everything in one process, for one machine.",
        "Starts its own PostgreSQL, keeps all data in --data-dir, binds 127.0.0.1 and may deliver to loopback.",
        "monitor up --demo",
        _up,
    ),
    Command(
        "serve",
        "Serve the API.",
        "Any number of them share MONITOR_DATABASE_URL and, with more than one process, MONITOR_REDIS_URL. SIGTERM"
        " finishes\nthe requests in flight, closes live feeds for reconnection and exits with 0.",
        "monitor serve --host 0.0.0.0 --port 8000 --processes 2",
        _serve,
        production,
    ),
    Command(
        "work",
        "Run a delivery worker and the periodic jobs.",
        "Any number of them share MONITOR_DATABASE_URL. SIGTERM finishes deliveries in flight and exits with 0.\nWith"
        " --port it answers probes and Prometheus. With --processes N it keeps N workers running, and"
        "\nreplaces those that exit.",
        "monitor work --processes 2 --concurrency 200",
        _work,
        production,
    ),
    Command(
        "migrate",
        "Migrate the database to the schema of this version.",
        "Safe to repeat and to run from several machines at once.",
        "MONITOR_DATABASE_URL=postgresql://monitor:secret@db/monitor monitor migrate",
        _add_migrate,
    ),
    Command(
        "maintain",
        "Make partitions ahead and delete what is past retention, as the owner of the tables.",
        "For a daily job where `serve` and `work` run as a role that owns nothing. Safe to repeat, and beside running"
        " workers.",
        "MONITOR_DATABASE_URL=postgresql://monitor_owner:secret@db/monitor monitor maintain",
        add_json,
    ),
    Command(
        "token",
        "Create or revoke a token.",
        "Prints only the token. With --data-dir it is signed with the key of that `monitor up`, else with"
        " MONITOR_JWT__KEYS.\nThe audit log shows it, if the database answers.",
        "monitor token --role admin --subject ada --ttl 1h --data-dir monitor-data",
        _token,
    ),
    Command(
        "doctor",
        "Check the environment and print remedies.",
        "Checks keys, also those of an identity provider, database, clock skew, migrations and Redis. Exits with 1 on"
        " any error.",
        "monitor doctor --json",
        add_json,
    ),
    Command(
        "export",
        "Print the configuration as YAML, or rows as NDJSON or CSV.",
        "The configuration is webhooks and silences, without secrets: references stand in their places. Needs the role"
        "\nadmin; rows need that of their list.",
        "monitor export > monitor.yaml",
        _export,
    ),
    Command(
        "diff",
        "Print what `monitor apply` would change.",
        "Exits with 0 if nothing, 2 if something, 1 on an error. Writes nothing.",
        "monitor diff monitor.yaml --owner shop",
        _diff,
        failure=1,
    ),
    Command(
        "apply",
        "Make the server's configuration agree with a file.",
        "Prints the plan, asks, and writes by the API. Changes only what carries the label monitor.managed_by of the"
        " owner.\nSafe to repeat: where nothing differs, nothing is written. Begins no further change after one that"
        " failed,\nand prints what was done. Exits with 1 on an error, 130 after Ctrl-C.",
        "monitor apply monitor.yaml --owner shop --prune --yes",
        _apply,
        failure=1,
    ),
    Command(
        "tail",
        "Print the live feed: alerts, anomalies and status changes.",
        "One line a message, until Ctrl-C. After a lost connection it goes on where it was. Needs the role viewer.",
        "monitor tail --topic alerts --json",
        _tail,
    ),
    Command(
        "openapi",
        "Print the OpenAPI document.",
        "Needs no database and no settings.",
        "monitor openapi > openapi.json",
        _nothing,
        Settings,
    ),
    Command(
        "completion",
        "Print a script that completes commands and options in a shell.",
        'In ~/.bashrc or ~/.zshrc: eval "$(monitor completion bash)" or zsh; in fish: monitor completion fish | source',
        "monitor completion bash",
        _completion,
        Settings,
    ),
)


class Parser(argparse.ArgumentParser):
    """Refuses with the usage of the command itself, and suggests what is nearly the same."""

    failure = 2

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self.failure, f"{self.prog}: error: {message}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # Left to the parser above, this error would show the usage of `monitor` instead of the command's.
            names = (text.partition("=")[0] for text in unknown if text.startswith("-"))
            hint = next(filter(None, (suggestion(name, self.shown_options()) for name in names)), "")
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return parsed, unknown

    def shown_actions(self) -> list[argparse.Action]:
        """Return the arguments that the help shows."""
        return [action for action in self._actions if action.help != argparse.SUPPRESS]

    def shown_options(self) -> list[str]:
        """Return the options that the help shows, such as ``--port``."""
        return [text for action in self.shown_actions() for text in action.option_strings]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            hint = suggestion(str(value), map(str, action.choices or ()))
            raise argparse.ArgumentError(action, f"{error.message}{hint}") from None


def build_parser() -> Parser:
    """Return the parser of every command. A parsed command line has its :class:`Command` as ``spec``."""
    top = Parser(
        prog="monitor",
        description="Monitor delivers webhooks and monitors them.",
        epilog="Start with: monitor up --demo",
    )
    top.add_argument("--version", action="version", version=f"monitor {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command", parser_class=Parser)
    for command in COMMANDS:
        command.arguments(
            sub := commands.add_parser(
                command.name,
                help=command.summary,
                description=f"{command.summary}\n\n{command.details}",
                epilog=f"example: {command.example}",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
        sub.failure = command.failure
        sub.set_defaults(spec=command)
    return top


def suggestion(text: str, known: Iterable[str]) -> str:
    """Return a clause that names what of *known* is nearly *text*, or nothing."""
    close = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
