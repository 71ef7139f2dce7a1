"""The command line. Each command is a module with ``run``, imported when it is called, which returns an exit code."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module

from monitor.cli.commands import build_parser
from monitor.cli.common import CommandError
from monitor.settings.environment import SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error of usage, of settings or of a server behind it becomes a line and the exit code 2, or 1
    of `diff` and `apply`, where 2 means a difference."""
    parsed = build_parser().parse_args(arguments)
    try:
        # First, since importing a command may take seconds of CPU.
        settings = parsed.spec.settings()
        code: int = import_module(f"{__name__}.{parsed.command}").run(parsed, settings)
        sys.stdout.flush()
    except (SettingsError, CommandError) as error:
        print(f"monitor {parsed.command}: {error}", file=sys.stderr)
        failure: int = parsed.spec.failure
        return failure
    except BrokenPipeError:
        if not _is_output_closed():
            raise
        return 141
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        _discard_output()
        problem = os.strerror(error.errno)
        print(f"monitor {parsed.command}: {problem}; make room on the disk with its output and files.", file=sys.stderr)
        return int(parsed.spec.failure)
    except KeyboardInterrupt:
        return 130
    return code


def _is_output_closed() -> bool:
    """Whether the reader of the output, like `head`, has closed it. Then what is left in the buffer is discarded."""
    output = sys.stdout.fileno()
    pipe = select.poll()
    pipe.register(output, 0)
    closed = any(event & select.POLLERR for _, event in pipe.poll(0))
    if closed:
        _discard_output()
    return closed


def _discard_output() -> None:
    """Keep what is left in the buffer from failing once more at the exit of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
