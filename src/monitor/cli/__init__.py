"""The command line. Each command is a module, imported when it is called, and returns an exit code."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from monitor import __version__
from monitor.cli.common import CommandError
from monitor.settings.environment import SettingsError

COMMANDS = ("up", "serve", "work", "migrate", "maintain", "token", "doctor", "openapi")


class _CommandParser(argparse.ArgumentParser):
    """Parser of one command, whose module it imports at first use: importing all of them takes seconds of CPU."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        module = import_module(f"{__name__}.{self.prog.rpartition(' ')[2]}")
        self.description, self.epilog = (module.__doc__ or "").strip(), f"example: {module.EXAMPLE}"
        module.arguments(self)
        self.set_defaults(run=module.run)
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # Left to the parser above, this error would show the usage of `monitor` instead of the command's.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    top = argparse.ArgumentParser(
        prog="monitor",
        description="Monitor delivers webhooks and monitors them.",
        epilog="Start with: monitor up --demo",
    )
    top.add_argument("--version", action="version", version=f"monitor {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command", parser_class=_CommandParser)
    for name in COMMANDS:
        commands.add_parser(name, help=_summary(name), formatter_class=argparse.RawDescriptionHelpFormatter)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error of usage or of settings becomes one line and exit code 2."""
    parsed = parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except (SettingsError, CommandError) as error:
        print(f"monitor {parsed.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        if not _is_output_closed():
            raise
        return 141
    except KeyboardInterrupt:
        return 130
    return code


def _summary(command: str) -> str:
    """Return the first line of the docstring of *command*, read from its source, since importing it is slow."""
    with Path(__file__).with_name(f"{command}.py").open(encoding="utf-8") as source:
        return source.readline().strip().strip('"')


def _is_output_closed() -> bool:
    """Whether the reader of the output, like `head`, has closed it. Then what is left in the buffer is discarded."""
    output = sys.stdout.fileno()
    pipe = select.poll()
    pipe.register(output, 0)
    closed = any(event & select.POLLERR for _, event in pipe.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return closed
