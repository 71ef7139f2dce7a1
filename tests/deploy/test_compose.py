"""The compose file: valid by the Compose Specification, closed, and with settings that Monitor has."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from tests.deploy.conftest import DEPLOY, KNOWN, output

FILE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
MONITOR = {name: service for name, service in SERVICES.items() if service["image"] == "monitor"}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `secrets.sh` makes."""
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copy(DEPLOY / "secrets.sh", folder)
    output(str(folder / "secrets.sh"))
    return folder / "secrets"


def test_it_is_valid_by_the_specification() -> None:
    compose_spec.PyCompose.from_json(json.dumps(FILE)).to_spec()


def test_it_is_what_the_documents_say() -> None:
    kinds = sorted(service["command"][0] for service in MONITOR.values())
    assert kinds == ["migrate", "serve", "serve", "work", "work"]
    assert {"postgres", "pgbouncer", "redis", "nginx"} == SERVICES.keys() - MONITOR.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_closed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name not in MONITOR or service["cap_drop"] == ["ALL"]
    assert name == "nginx" or "ports" not in service


@pytest.mark.parametrize("name", SERVICES.keys() - MONITOR.keys())
def test_images_of_others_are_pinned_and_checked(name: str) -> None:
    assert re.search(r":v?\d+\.\d+", SERVICES[name]["image"])
    assert SERVICES[name]["healthcheck"]["test"]


def test_what_one_depends_on_is_there_and_can_say_that_it_is_ready() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                # The image of Monitor has a check of its own.
                assert "healthcheck" in SERVICES[other] or other in MONITOR
            else:
                assert (how["condition"], SERVICES[other]["restart"]) == ("service_completed_successfully", "no")


def test_files_and_secrets_are_there(secrets: Path) -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    files = {*(name for name in mounted if name.startswith("./")), *(one["file"] for one in FILE["secrets"].values())}
    files |= {service["env_file"] for service in MONITOR.values()}
    assert files
    for file in files:
        bare = file.removeprefix("./")
        place = secrets.parent if bare.startswith("secrets/") else DEPLOY
        assert (place / bare).exists(), file


def test_settings_are_known_and_the_secret_ones_good_enough(secrets: Path) -> None:
    lines = (secrets / "monitor.env").read_text().splitlines()
    values = dict(re.fullmatch(r"(\w+)='([^'\\]*)'", line).groups() for line in lines)  # type: ignore[union-attr,misc]
    named = values.keys() | {name for one in MONITOR.values() for name in one.get("environment", {})}
    assert {name for name in named if name.startswith("MONITOR_")} <= KNOWN
    for name in ("MONITOR_JWT__KEYS", "MONITOR_SECRETS__KEYS"):
        (key,) = json.loads(values[name])
        assert len(key["key"]) == 43
    assert secrets.stat().st_mode & 0o777 == 0o700


def test_secrets_are_made_once(secrets: Path) -> None:
    before = (secrets / "monitor.env").read_text()
    output(str(secrets.parent / "secrets.sh"))
    assert (secrets / "monitor.env").read_text() == before


def test_nginx_is_the_one_proxy_that_is_trusted_and_has_both_servers() -> None:
    serve = [name for name in SERVICES if name.startswith("serve")]
    front = {name: SERVICES[name]["networks"]["front"]["ipv4_address"] for name in serve}
    trusted = {MONITOR[name]["environment"]["MONITOR_HTTP__TRUSTED_PROXIES"] for name in front}
    assert trusted == {SERVICES["nginx"]["networks"]["front"]["ipv4_address"]}
    command = SERVICES["nginx"]["command"][-1]
    shown = re.findall(r"s/([\d.:]+)/([\d.:]+)/", command)
    assert sorted(real for _, real in shown) == sorted(f"{address}:8000" for address in front.values())
    text = (DEPLOY / "nginx" / "monitor.conf").read_text()
    assert all(text.count(address) == 1 for address, _ in shown)


def test_a_stop_waits_longer_than_the_processes_take() -> None:
    grace = {one["command"][0]: one.get("stop_grace_period", "0s") for one in MONITOR.values()}
    assert int(grace["serve"].removesuffix("s")) >= 10 + 5
    assert int(grace["work"].removesuffix("s")) >= 25 + 5
