"""The units of systemd: valid, closed, and in accord with what the processes do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from monitor.settings.schema import Worker
from tests.deploy.conftest import DEPLOY, output

FOLDER = DEPLOY / "systemd"
UNITS = ("monitor-serve@8000.service", "monitor-work.service", "monitor-maintain.service", "monitor-maintain.timer")
SERVICES = UNITS[:3]
MOST_EXPOSED = 1.5
"""On systemd's scale of 0 to 10. A service without any restriction has 9.6."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The folder of the units, as on a machine that has the program; the template stands as the instance, too."""
    for unit in FOLDER.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/monitor/bin/monitor", "/bin/true"))
    shutil.copy(tmp_path / "monitor-serve@.service", tmp_path / "monitor-serve@8000.service")
    return tmp_path


@needs_systemd
def test_systemd_takes_them(units: Path) -> None:
    assert not output("systemd-analyze", "verify", "--man=no", *(str(units / unit) for unit in UNITS))


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_they_are_exposed_to_little(unit: str, units: Path) -> None:
    said = output("systemd-analyze", "security", "--offline=true", "--no-pager", str(units / unit))
    (level,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", said)
    assert float(level) <= MOST_EXPOSED, said


def test_a_stop_waits_longer_than_the_processes_take() -> None:
    stops = {unit: re.findall(r"^TimeoutStopSec=(\d+)$", text(unit), re.MULTILINE) for unit in ("serve@", "work")}
    assert float(stops["serve@"][0]) >= 10 + 5
    assert float(stops["work"][0]) >= Worker().drain_s + 5


def test_services_differ_in_what_they_are_for_alone() -> None:
    def restrictions(unit: str) -> list[str]:
        lines = text(unit).partition("UMask=")[2].partition("\n[")[0].splitlines()
        return [line for line in lines if line]

    assert restrictions("serve@") == restrictions("work") == restrictions("maintain")


def text(unit: str) -> str:
    return (FOLDER / f"monitor-{unit}.service").read_text()
