"""`monitor tail` as people run it, on servers that stop and refuse."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.integration.processes import Client, environment, jti_of, production, run, running
from tests.integration.support import eventually
from tests.servers import free_port

pytestmark = pytest.mark.processes


async def test_a_tail_goes_on_over_a_restart_of_the_server(
    database_url: str, own_redis_url: str, tmp_path: Path
) -> None:
    env, port = production(database_url, REDIS_URL=own_redis_url), free_port()
    admin = (await run("token", "--role", "admin", "--subject", "ci", env=env)).out.strip()
    client, url = Client(port, admin), f"http://127.0.0.1:{port}"
    serve = ("serve", "--port", str(port))
    log, arguments = tmp_path / "tail.log", ("tail", "--url", url, "--topic", "webhooks", "--json")
    async with running(*serve, env=env, log=tmp_path / "one.log") as server:
        await eventually(client.ready, within_s=60)
        tail = running(*arguments, env=environment(TOKEN=admin), log=log)
        async with tail as watching:
            await watching.says('"snapshot"')
            await server.stop()
            await watching.says("the server restarts (1012); connecting again in")
            async with running(*serve, env=env, log=tmp_path / "two.log") as second:
                await second.says("live_opened")
                revoked = await run("token", "--revoke", jti_of(admin), env=env)
                assert revoked.code == 0, revoked.err
                assert await watching.process.wait() == 2
                assert "make a new one with `monitor token`" in watching.output
    # It went on from its position, which the other server has too: there is no second snapshot.
    frames = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [frame["type"] for frame in frames] == ["snapshot"]
    assert admin not in log.read_text()


async def test_a_tail_ends_by_ctrl_c_and_refuses_in_words(database_url: str, tmp_path: Path) -> None:
    env, port = production(database_url), free_port()
    viewer, publisher = [
        (await run("token", "--role", role, "--subject", "ci", env=env)).out.strip() for role in ("viewer", "publisher")
    ]
    url = f"http://127.0.0.1:{port}"
    nobody = await run("tail", "--url", url, env=environment(TOKEN=viewer))
    assert (nobody.code, "is it the right --url?" in nobody.err) == (2, True), nobody.err
    async with running("serve", "--port", str(port), env=env, log=tmp_path / "serve.log"):
        await eventually(Client(port, viewer).ready, within_s=60)
        async with running("tail", env=environment(TOKEN=viewer, URL=url), log=tmp_path / "tail.log") as tail:
            await tail.says("connected webhooks: none")
            assert await tail.stop(signal.SIGINT) == 130
            assert "Traceback" not in tail.output
        for token, says in ((publisher, "403: This needs the role viewer"), (viewer[:-4], "the server answers 401: ")):
            refused = await run("tail", "--url", url, env=environment(TOKEN=token))
            assert (refused.code, says in refused.err) == (2, True), refused.err
        unknown = await run("tail", "--url", url, "--webhook", "1", env=environment(TOKEN=viewer))
        assert (unknown.code, "the server cannot read a frame" in unknown.err) == (2, True), unknown.err
        missing = await run("tail", "--url", url)
        assert (missing.code, "no token; set MONITOR_TOKEN" in missing.err) == (2, True)
