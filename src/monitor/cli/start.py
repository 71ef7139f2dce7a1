"""What the commands that start a process share: complete settings, and the container made of them."""

from __future__ import annotations

import msgspec

from monitor.bootstrap.container import Container
from monitor.cli.common import CommandError, environment
from monitor.log import LogStream
from monitor.settings.environment import missing_for_production
from monitor.settings.schema import Settings


def production() -> Settings:
    """Read the settings of a production process. Raises :class:`CommandError` naming all that is missing or weak."""
    settings = environment()
    if problems := missing_for_production(settings):
        raise CommandError("cannot start:\n  " + "\n  ".join(problems))
    return settings


def build_container(settings: Settings, stream: LogStream, *, serves: bool = True) -> Container:
    """Return what the process owns. Raises :class:`CommandError` if a key or an address in *settings* is invalid."""
    try:
        return Container(settings, serves=serves, stream=stream)
    except (ValueError, OSError, msgspec.MsgspecError) as error:
        raise CommandError(f"cannot start: {error}") from None
