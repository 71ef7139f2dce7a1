"""The panel of the read replica in the system view: a primary and its streaming replica, which is lost meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Site, until
from tests.browser.test_again import LOOKS, look
from tests.integration.processes import production
from tests.replica import Pair, executable, replicated
from tests.servers import in_thread

pytestmark = pytest.mark.skipif(shutil.which(executable("pg_basebackup")) is None, reason="no pg_basebackup")


class ReplicatedSite(Site):
    """``monitor serve`` on a primary, with heavy reads on its replica."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        super().__init__(folder)
        self.pair = pair

    def start(self) -> None:
        env = production(self.pair.primary.dsn(), DB__READ_URL=self.pair.replica.dsn())
        monitor = [sys.executable, "-m", "monitor"]
        token = [*monitor, "token", "--role", "admin", "--subject", "browser"]
        self.token = subprocess.run(token, env=env, capture_output=True, text=True, check=True).stdout.strip()
        serve = [*monitor, "serve", "--port", str(self.port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(serve, env=env, stdout=log, stderr=log)
        until(self._is_ready)

    def _is_ready(self) -> bool:
        self._said()
        try:
            return httpx.get(f"{self.base}/health/ready", timeout=30).is_success
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def replicated_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicatedSite]:
    # One loop for its whole life, in a thread where none of the browser's is in the way.
    with ThreadPoolExecutor(1) as pool:
        runner, context = asyncio.Runner(), replicated()
        pair = pool.submit(lambda: runner.run(context.__aenter__())).result()
        running = ReplicatedSite(tmp_path_factory.mktemp("site"), pair)
        try:
            running.start()
            yield running
        finally:
            running.stop()
            pool.submit(lambda: runner.run(context.__aexit__(None, None, None))).result()
            pool.submit(runner.close).result()


@pytest.fixture
def panel(open_page: Callable[..., Page], replicated_site: Site) -> Callable[..., Locator]:
    """Open the system view, and return the panel."""

    def open_(theme: str, size: dict[str, int]) -> Locator:
        page = sign_in(open_page, replicated_site, viewport=size, color_scheme=theme, reduced_motion="reduce")
        go(page, "/system")
        found = page.get_by_role("region", name="Read replica")
        found.scroll_into_view_if_needed()
        return found

    return open_


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_a_replica_in_use_shows_its_lag_and_its_reads(
    theme: str, size: dict[str, int], panel: Callable[..., Locator], replicated_site: ReplicatedSite
) -> None:
    until(lambda: replicated_site.call("GET", "system/stats")["replica"]["used"])
    replicated_site.call("GET", "events")
    replica = panel(theme, size)
    expect(replica).to_contain_text("In use")
    expect(replica).to_contain_text("up to date")
    look(replica.page, "replica-used", theme)


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_a_replica_that_is_lost_shows_why_and_that_the_primary_serves_its_reads(
    theme: str, size: dict[str, int], panel: Callable[..., Locator], replicated_site: ReplicatedSite
) -> None:
    in_thread(lambda: replicated_site.pair.replica.stop(signal.SIGQUIT))
    try:
        until(lambda: replicated_site.call("GET", "events") and _trouble(replicated_site) == "unreachable")
        replica = panel(theme, size)
        expect(replica).to_contain_text("Not in use")
        expect(replica).to_contain_text("it does not answer")
        look(replica.page, "replica-lost", theme)
    finally:
        in_thread(replicated_site.pair.replica.start)
    expect(replica).to_contain_text("In use")


def _trouble(site: Site) -> str | None:
    trouble: str | None = site.call("GET", "system/stats")["replica"]["trouble"]
    return trouble
