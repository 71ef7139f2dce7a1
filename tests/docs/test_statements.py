"""What the documents say in tables is what the code says: routes and roles, names, files, links."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from benchmarks.report import pages, runs
from monitor.cli.openapi import document
from monitor.domain.alerts import notification as announce
from monitor.domain.alerts.alert import Action, AlertKind, AlertState
from monitor.domain.anomaly.model import Signal
from monitor.domain.errors import MonitorError
from monitor.domain.live.messages import TOPICS, MessageKind
from monitor.domain.vocab import BodyFormat, DeliveryState, ErrorKind, HealthStatus, Role
from monitor.http.live.close_codes import CloseCode
from tests.docs.documents import DOCUMENTS, ROOT

API = "/api/v1"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
DOCUMENTED_ROUTE = re.compile(r"^\| `(GET|POST|PUT|PATCH|DELETE) (/[^`]*)` \| (\w+|–) \|", re.MULTILINE)
PATH = re.compile(r"`([\w/]+\.py|[a-z_]+(?:/[a-z_]+)*/)`")
"""A Python file or a folder, from the root of the repository or of the package."""
ROOTS = (ROOT, ROOT / "src" / "monitor")
EXAMPLES = {"receiver.py"}
LISTED: list[type[StrEnum]] = [
    Action, AlertKind, AlertState, BodyFormat, DeliveryState, ErrorKind, HealthStatus, MessageKind, Role,
]  # fmt: skip

DATABASE_USERS = {"app", "owner"}
"""What stands behind ``monitor_`` in the checklist and is no metric."""

HARDENING = {
    "UMask=0077",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectProc=invisible",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
}
"""What systemd takes from the service (systemd.exec(5)), so that a break-in finds no rights, homes or devices."""

ARCHITECTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "API_DOCUMENTATION.md").read_text(encoding="utf-8")
DETECTION = (ROOT / "docs" / "DETECTION.md").read_text(encoding="utf-8")
CHECKLIST = (ROOT / "docs" / "DEPLOYMENT_CHECKLIST.md").read_text(encoding="utf-8")


def routes() -> dict[tuple[str, str], str]:
    """Return the role of every operation of the OpenAPI document, ``–`` for what is open."""
    found = {}
    for path, item in msgspec.json.decode(document())["paths"].items():
        for method, operation in item.items():
            if method in {"get", "post", "put", "patch", "delete"}:
                role = re.search(r"Role: (\w+)", operation["description"])
                found[method.upper(), path.removeprefix(API)] = role[1] if role else "–"
    return found


def test_every_route_is_in_the_reference_with_its_role_and_no_other_is() -> None:
    shown = {(method, path): role for method, path, role in DOCUMENTED_ROUTE.findall(REFERENCE)}
    shown[("GET", "/audit-log")] = "admin"
    links = ("GET", "/act/{token}"), ("POST", "/act/{token}")
    for outside in (("GET", "/"), ("GET", "/schema/openapi.json"), ("GET", "/schema/swagger"), *links):
        del shown[outside]
    assert shown == routes()


@pytest.mark.parametrize("enum", LISTED, ids=lambda enum: enum.__name__)
def test_every_name_that_clients_meet_is_in_the_reference(enum: type[StrEnum]) -> None:
    assert [member.value for member in enum if f"`{member.value}`" not in REFERENCE] == []


def test_every_problem_is_in_the_reference() -> None:
    def slugs(error: type[MonitorError]) -> set[str]:
        return {error.slug}.union(*(slugs(child) for child in error.__subclasses__()))

    # Frames have no problems of HTTP; theirs are codes.
    assert [slug for slug in sorted(slugs(MonitorError) - {"unknown_type"}) if f"`{slug}`" not in REFERENCE] == []


def test_the_live_feed_is_described_in_full() -> None:
    assert [code.value for code in CloseCode if f"| {code.value} |" not in REFERENCE] == []
    groups = TOPICS.keys() - {kind.value for kind in MessageKind}
    assert [group for group in groups if f"`{group}`" not in REFERENCE] == []


def test_every_event_about_alerts_is_in_the_reference() -> None:
    types = (announce.RAISED, announce.ACKNOWLEDGED, announce.RESOLVED, announce.FLAPPING)
    assert [type_ for type_ in types if f"| `{type_}` |" not in REFERENCE] == []


def test_every_signal_is_explained() -> None:
    assert [signal for signal in Signal if f"| `{signal.value}` |" not in DETECTION] == []


def test_what_to_watch_names_metrics_that_exist() -> None:
    http = ROOT / "src" / "monitor" / "http"
    files = (http / "routes" / "prometheus.py", *(http / "metrics").glob("*.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    # A name is composed of a prefix and the rest; a counter gets its suffix from the library.
    named = {name.removesuffix("_total") for name in re.findall(r"`monitor_([a-z_]+)`", CHECKLIST)} - DATABASE_USERS
    assert named
    assert [name for name in named if not any(part in source for part in (f'"{name}"', f'"monitor_{name}"'))] == []


def test_every_package_is_in_the_architecture() -> None:
    source = ROOT / "src" / "monitor"
    packages = [init.parent.relative_to(source).as_posix() for init in source.glob("*/**/__init__.py")]
    assert [package for package in packages if f"`{package}/`" not in ARCHITECTURE] == []


@pytest.mark.parametrize("unit", sorted((ROOT / "deploy" / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_a_unit_is_hardened(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").partition("[Service]\n")[2].split("\n")
    assert HARDENING - set(lines) == set()
    assert {"User=monitor", "DynamicUser=yes"} & set(lines)
    assert "deploy/systemd/" in CHECKLIST


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(path: Path) -> set[str]:
    """Return the fragments of the headings of *path*, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_and_settings_that_a_document_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    configuration = (ROOT / "docs" / "CONFIGURATION.md").read_text(encoding="utf-8")
    settings = set(re.findall(r"MONITOR_(?!TEST_)[A-Z]+(?:_[A-Z]+|__[A-Z_]+)*[A-Z]", text))
    assert [name for name in settings if name not in configuration] == []
    paths = [path for path in PATH.findall(text) if path not in EXAMPLES]
    assert [path for path in paths if not any((root / path).exists() for root in ROOTS)] == []


def test_the_pages_of_measurements_are_those_of_the_files() -> None:
    made = pages(runs())
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python -m benchmarks.report"


def test_what_users_read_says_fix() -> None:
    sources = [path for path in (ROOT / "src" / "monitor").rglob("*") if path.suffix in {".py", ".js", ".html"}]
    found = re.compile(r"\bmend(?:s|ed|ing)?\b", re.IGNORECASE)
    texts = {path: path.read_text(encoding="utf-8") for path in (*DOCUMENTS, *sources) if "vendor" not in path.parts}
    assert [path.name for path, text in texts.items() if found.search(text)] == []
