"""
A configuration file: webhooks and silences with the members of the API's requests, and secrets by reference.

Webhooks are read into the domain's own structs and held to its rules, so a file that is accepted here breaks none of
the server's. Pure: what reads environment and files is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from monitor.cli.configuration.yaml_text import Document, FileError, Path, Problem
from monitor.domain.alerts.silences import SilenceSpec
from monitor.domain.errors import FieldError, Invalid, UrlRefused
from monitor.domain.vocab import OWNER_LABEL
from monitor.domain.webhooks.registration import WebhookSpec, check, register, spec_of
from monitor.domain.webhooks.webhook import MASK

OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MAX_REASON = 400
"""Characters of a silence's reason in a file: the mark of its owner needs the others."""
MAX_PROBLEMS = 20

_NO_TIME, _NO_ID = datetime(2000, 1, 1, tzinfo=UTC), UUID(int=0)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_MEMBERS = {"owner", "webhooks", "silences"}


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is: the environment variable ``env``, or the ``file`` beside the configuration file."""

    env: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"the environment variable {self.env}" if self.env is not None else f"the file {self.file}"


class SecretMissing(Exception):
    """What a reference names is not there."""


Resolve = Callable[[Reference], str]
"""Returns what a reference names. Raises :class:`SecretMissing`."""


class WebhookItem(msgspec.Struct, frozen=True):
    """
    A webhook of a file.

    Attributes:
        spec: as the server would show it: canonical URL, headers masked, without the owner's label.
        headers: their values.
        secret: the signing secret that it is created with; ``None`` lets the server make one.
    """

    spec: WebhookSpec
    headers: dict[str, str | Reference] = {}
    secret: Reference | None = None

    @property
    def name(self) -> str:
        return self.spec.name


class SilenceItem(msgspec.Struct, frozen=True):
    """A silence of a file. ``webhook`` names one of the file or the server, instead of the id in *spec*."""

    spec: SilenceSpec
    webhook: str | None = None

    @property
    def name(self) -> str:
        return self.spec.reason

    def digest(self) -> str:
        """Return what distinguishes this silence from one that is configured otherwise."""
        return sha256(msgspec.json.encode([self.spec, self.webhook], order="deterministic")).hexdigest()[:12]


class Configuration(msgspec.Struct, frozen=True):
    owner: str
    webhooks: list[WebhookItem]
    silences: list[SilenceItem]


class Reader:
    """
    Reads a file.

    Args:
        canonical: returns the one spelling of a URL. Raises ``UrlRefused``.
        owner: that of the command line; else the file names it.
    """

    def __init__(
        self, document: Document, resolve: Resolve, canonical: Callable[[str], str], owner: str | None
    ) -> None:
        self._document = document
        self._resolve = resolve
        self._canonical = canonical
        self._owner = owner
        self._problems: list[Problem] = []

    def read(self) -> Configuration:
        """Raises: FileError: with every problem, up to ``MAX_PROBLEMS``."""
        value = {} if self._document.value is None else self._document.value
        if not isinstance(value, dict):
            raise FileError([self._problem((), "give `webhooks:` and `silences:` here.")])
        for name in value.keys() - _MEMBERS:
            self._add((name,), f"there is no `{name}`; a file has `owner`, `webhooks` and `silences`.")
        owner = self._owner_of(value)
        webhooks = [item for path, row in self._rows(value, "webhooks") if (item := self._webhook(path, row))]
        silences = [found for path, row in self._rows(value, "silences") if (found := self._silence(path, row))]
        self._check_unique("webhooks", [item.name for item in webhooks], "name", "rename one of them")
        self._check_unique("silences", [item.name for item in silences], "reason", "tell their reasons apart")
        if self._problems:
            raise FileError(sorted(self._problems)[:MAX_PROBLEMS])
        return Configuration(owner, webhooks, silences)

    def _owner_of(self, value: dict[str, Any]) -> str:
        named = value.get("owner")
        owner = self._owner or named
        if owner is None:
            self._add((), "say whose configuration this is: `owner: NAME` in the file, or --owner NAME.")
        elif not isinstance(owner, str) or not OWNER.fullmatch(owner):
            self._add(("owner",), "an owner is 1 to 63 letters, digits, `.`, `_` or `-`, first a letter or digit.")
        elif named not in (None, owner):
            self._add(("owner",), f"the file is of {named!r}, and --owner says {owner!r}; give one of both.")
        return str(owner)

    def _rows(self, value: dict[str, Any], name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        rows = value.get(name)
        if rows is not None and not isinstance(rows, list):
            self._add((name,), "give a list.")
            return
        for index, row in enumerate(rows or ()):
            if isinstance(row, dict):
                yield (name, index), row
            else:
                self._add((name, index), "give the members of one, such as `name: …`.")

    # Webhooks --------------------------------------------------------------------------------------------------------

    def _webhook(self, path: Path, row: dict[str, Any]) -> WebhookItem | None:
        members = dict(row)
        before = len(self._problems)
        secret = self._secret((*path, "secret"), members.pop("secret", None))
        headers = self._headers((*path, "headers"), members)
        if "url" in members:
            members["url"] = self._url((*path, "url"), members["url"])
        if len(self._problems) > before:
            return None
        spec = self._converted(path, members, WebhookSpec)
        if spec is None:
            return None
        if OWNER_LABEL in spec.labels:
            self._add((*path, "labels", OWNER_LABEL), "leave this label out; it is set to the owner.")
            return None
        try:
            check(replace(spec, headers={name: _text(value) for name, value in headers.items()}))
            canonical = self._canonical(spec.url)
        except UrlRefused as error:
            self._add((*path, "url"), f"{error.detail}.")
            return None
        except Invalid as error:
            self._add_all(path, error.errors)
            return None
        spec = spec_of(register(spec, _NO_ID, canonical, _NO_TIME))
        return WebhookItem(spec, headers, secret)

    def _secret(self, path: Path, value: Any) -> Reference | None:
        if value is None:
            return None
        if isinstance(value, str):
            self._add(path, "a signing secret stands in no file: give {env: NAME} or {file: PATH}.")
            return None
        return self._reference(path, value)

    def _headers(self, path: Path, members: dict[str, Any]) -> dict[str, str | Reference]:
        """Return the values of the headers, and leave masks in their places."""
        found: dict[str, str | Reference] = {}
        headers = members.get("headers")
        if not isinstance(headers, dict):
            return found
        for name, value in headers.items():
            if isinstance(value, dict):
                reference = self._reference((*path, name), value)
                found[name] = Reference() if reference is None else reference
            elif value == MASK:
                self._add((*path, name), f"{MASK} is no value: give it, or {{env: NAME}} or {{file: PATH}}.")
            elif isinstance(value, str):
                found[name] = value
        members["headers"] = {name: MASK if isinstance(value, dict) else value for name, value in headers.items()}
        return found

    def _url(self, path: Path, value: Any) -> Any:
        """Return the URL, which is a secret of chat services."""
        if not isinstance(value, dict):
            return value
        reference = self._reference(path, value)
        try:
            return None if reference is None else self._resolve(reference)
        except SecretMissing as error:
            self._add(path, str(error))
            return None

    def _reference(self, path: Path, value: Any) -> Reference | None:
        try:
            reference = msgspec.convert(value, Reference)
        except msgspec.ValidationError:
            reference = Reference()
        if (reference.env is None) is (reference.file is None):
            self._add(path, "give {env: NAME} or {file: PATH}.")
            return None
        return reference

    # Silences --------------------------------------------------------------------------------------------------------

    def _silence(self, path: Path, row: dict[str, Any]) -> SilenceItem | None:
        members = dict(row)
        webhook = members.pop("webhook", None)
        spec = self._converted(path, members, SilenceSpec)
        if spec is None:
            return None
        problems = list(_silence_problems(spec, webhook))
        for name, text in problems:
            self._add((*path, name) if name else path, text)
        return None if problems else SilenceItem(spec, webhook)

    # Problems --------------------------------------------------------------------------------------------------------

    def _converted(self, path: Path, members: dict[str, Any], type_: type[Any]) -> Any:
        try:
            return msgspec.convert(members, type_)
        except msgspec.ValidationError as error:
            text, _, pointer = str(error).partition(" - at `$")
            steps = [
                int(found[2]) if found[2] else found[1]
                for found in _STEP.finditer(pointer.rstrip("`"))
                if found[1] or found[2]
            ]
            where = f" ({'.'.join(map(str, steps))})" if steps else ""
            self._add((*path, *steps), f"{text}{where}.")
            return None

    def _check_unique(self, kind: str, names: list[str], member: str, remedy: str) -> None:
        first: dict[str, int] = {}
        # Rows that could not be read are not among the names, so that their numbers would be others.
        for index, name in enumerate(names if not self._problems else ()):
            if first.setdefault(name, index) != index:
                self._add((kind, index, member), f"an earlier one has the {member} {name!r}, too; {remedy}.")

    def _add_all(self, path: Path, errors: tuple[FieldError, ...]) -> None:
        for error in errors:
            steps = [step.replace("~1", "/").replace("~0", "~") for step in error.pointer.split("/")[1:]]
            inside = [int(step) if step.isdecimal() else step for step in steps]
            self._add((*path, *inside), error.detail)

    def _add(self, path: Path, text: str) -> None:
        self._problems.append(self._problem(path, text))

    def _problem(self, path: Path, text: str) -> Problem:
        return Problem(self._document.place(path), text)


def _text(value: str | Reference) -> str:
    """Return *value*, or what stands for it while rules are checked."""
    return value if isinstance(value, str) else "-"


def _silence_problems(spec: SilenceSpec, webhook: Any) -> Iterator[tuple[str, str]]:
    """Yield the member and text of what makes *spec* another silence each time it is applied, or none."""
    if webhook is not None and (not isinstance(webhook, str) or spec.webhook_id is not None):
        yield "webhook", "give the name of a webhook, or its `webhook_id`, and not both."
    if len(spec.reason) > MAX_REASON:
        yield "reason", f"use at most {MAX_REASON} characters."
    if webhook is None and spec.webhook_id is None and spec.label is None and spec.kind is None:
        yield "", "name what to silence: webhook, webhook_id, label or kind."
    if spec.recurrence is None and (spec.ends_at is None or spec.duration_s is not None):
        yield "ends_at", "give `ends_at` and no `duration_s`, which would begin anew each time the file is applied."
    if spec.recurrence is not None and (spec.starts_at is None or spec.duration_s is None):
        yield "recurrence", "give `starts_at`, from which it is counted, and `duration_s`."
