"""The command line. Each command lives in a module of its own and returns an exit code."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence

from monitor import __version__
from monitor.cli import doctor, migrate, openapi, serve, token, up, work
from monitor.cli.common import CommandError
from monitor.settings.environment import SettingsError

COMMANDS = (up, serve, work, migrate, token, doctor, openapi)


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    top = argparse.ArgumentParser(
        prog="monitor",
        description="Monitor delivers webhooks and watches them.",
        epilog="Start with: monitor up --demo",
    )
    top.add_argument("--version", action="version", version=f"monitor {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        text = (module.__doc__ or "").strip()
        sub = commands.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            epilog=f"example: {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
        sub.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what a person did wrong becomes one line and exit code 2."""
    parsed = parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except (SettingsError, CommandError) as error:
        print(f"monitor {parsed.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        if not _is_read_no_more():
            raise
        return 141
    except KeyboardInterrupt:
        return 130
    return code


def _is_read_no_more() -> bool:
    """Whether who read the output, like `head`, has gone. Then what Python flushes on its way out goes nowhere."""
    output = sys.stdout.fileno()
    pipe = select.poll()
    pipe.register(output, 0)
    gone = any(event & select.POLLERR for _, event in pipe.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return gone
