"""The configuration file on the disk, the secrets that it refers to, and the server that it is compared with."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from monitor.adapters.egress.guard import EgressPolicy, parse_target
from monitor.adapters.recurrences import expand
from monitor.cli.api_client import ApiClient, server_time
from monitor.cli.common import CommandError
from monitor.cli.configuration.document import (
    Configuration,
    Reader,
    Reference,
    Resolve,
    SecretMissing,
    SilenceItem,
)
from monitor.cli.configuration.plan import Options, Plan, PlanError, make_plan
from monitor.cli.configuration.server_state import ServerState, read_silence, read_webhook
from monitor.cli.configuration.yaml_text import FileError, read_yaml
from monitor.cli.progress import Progress
from monitor.domain.alerts.recurrence import RULE_POINTER, rule_errors
from monitor.domain.alerts.silences import plan_silence
from monitor.domain.errors import Invalid
from monitor.domain.webhooks.mail_url import canonical_mail_url, is_mail_url

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_SECRET_BYTES = 8192
STDIN = Path("-")

_ANYWHERE = EgressPolicy(profile="local", allow_cidrs=("0.0.0.0/0", "::/0"))
"""What may be reached is for the server to judge; here only the spelling counts."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the cycle collector from walking what is being built over and over: nearly half of the time for a large
    file."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_configuration(path: Path, owner: str | None) -> tuple[Configuration, Resolve]:
    """Return what the file holds, and what reads the secrets beside it. Raises :class:`CommandError`."""
    name = "standard input" if path == STDIN else str(path)
    resolve = resolver(Path() if path == STDIN else path.parent)
    try:
        with uncollected():
            return Reader(read_yaml(_read(path, name)), resolve, canonical_url, owner).read(), resolve
    except FileError as error:
        raise CommandError("\n".join(error.lines(name))) from None


def _read(path: Path, name: str) -> str:
    try:
        with nullcontext(sys.stdin.buffer) if path == STDIN else path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}.") from None
    if len(raw) > MAX_FILE_BYTES:
        raise CommandError(f"{name} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB; split it by owner.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not UTF-8.") from None


def resolver(folder: Path) -> Resolve:
    """Return what reads a reference: files are those of *folder*, and one line break at their end is none of theirs."""

    def resolve(reference: Reference) -> str:
        if reference.env is not None:
            value = os.environ.get(reference.env, "")
            remedy = f"{reference} is not set; export it."
        else:
            path = folder / (reference.file or "")
            try:
                with path.open("rb") as file:
                    value = file.read(MAX_SECRET_BYTES).decode().removesuffix("\n").removesuffix("\r")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "not UTF-8"
                raise SecretMissing(f"{path} cannot be read: {why}.") from None
            remedy = f"{path} is empty."
        if not value:
            raise SecretMissing(remedy)
        return value

    return resolve


def canonical_url(url: str) -> str:
    """Return the spelling of *url* that the server stores. Raises ``UrlRefused``."""
    return canonical_mail_url(url) if is_mail_url(url) else parse_target(url, _ANYWHERE).url


def read_server(client: ApiClient) -> ServerState:
    """Read the webhooks and silences of a server. Raises :class:`CommandError`."""
    webhooks = read_rows(client, "webhooks", read_webhook)
    silences = read_rows(client, "silences", read_silence, active="true")
    return ServerState(webhooks, silences, server_time(client.get("silences", limit=1)))


def read_rows(client: ApiClient, path: str, read: Callable[[dict[str, Any]], Any], **query: str) -> list[Any]:
    """Return the rows of a list, each as *read* returns it. Raises :class:`CommandError`."""
    rows: list[Any] = []
    with uncollected(), Progress(f"reading {path}:") as progress:
        for page in client.pages(path, **query):
            try:
                rows += [read(row) for row in page]
            except (msgspec.ValidationError, KeyError) as error:
                raise CommandError(f"the server has {path} that this version cannot read ({error}).") from None
            progress.add(len(page))
    return rows


def plan_for(args: argparse.Namespace, client: ApiClient) -> tuple[Configuration, Resolve, Plan]:
    """Read file and server, and return the plan. Raises :class:`CommandError`."""
    wanted, resolve = read_configuration(args.file, args.owner)
    server = read_server(client)
    options = Options(prune=args.prune, adopt=args.adopt, set_secrets=frozenset(args.set_secrets or ()))
    try:
        plan = make_plan(wanted, server, options, never_occurs=lambda item: never_occurs(item, server.at))
    except PlanError as error:
        raise CommandError("\n".join(error.problems)) from None
    return wanted, resolve, plan


def never_occurs(item: SilenceItem, now: datetime) -> bool:
    """
    Whether the rule of a silence has no occurrence after *now*.

    Raises:
        CommandError: it breaks another rule of the server.
    """
    spec = item.spec if item.webhook is None else replace(item.spec, webhook_id=UUID(int=1))
    try:
        plan_silence(spec, now.astimezone(UTC), expand, id_=UUID(int=0), created_by="")
    except Invalid as error:
        is_sound = spec.recurrence is not None and not list(rule_errors(spec.recurrence.rrule))
        if is_sound and all(one.pointer == RULE_POINTER for one in error.errors):
            return True
        problems = "; ".join(f"{one.pointer.removeprefix('/')}: {one.detail}" for one in error.errors)
        raise CommandError(f"silence {item.name!r}: {problems}") from None
    return False
