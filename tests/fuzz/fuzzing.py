"""Runs schemathesis against the product on a real socket, with something of each kind there to be found."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.settings.schema import Smtp
from tests.integration.detection_support import Watch, alerts, fail
from tests.integration.support import Api, Receiver, served, signer
from tests.servers import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
MAIL = Smtp(host="127.0.0.1", port=free_port(), tls="none", from_="monitor@example.org")
"""Nothing listens there: webhooks for e-mail can be configured, and their tests fail with a documented error."""


async def fuzz(parts: Container, role: Role | None, *options: str) -> None:
    """
    Fail unless schemathesis finds nothing at all as *role*, or without a token.

    Args:
        options: of ``schemathesis run``.
    """
    mailing = msgspec.structs.replace(parts.settings, smtp=MAIL)
    async with Container(mailing) as own, served(own) as api, Receiver() as receiver:
        with tempfile.TemporaryDirectory() as folder:
            stage = Path(folder) / "stage.json"
            stage.write_bytes(msgspec.json.encode({"receiver": receiver.url, "ids": await _set(own, api, receiver)}))
            token = () if role is None else ("--header", f"Authorization: Bearer {signer(own)(role, 'fuzz')}")
            process = await asyncio.create_subprocess_exec(
                *(SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml", "--no-color", "run"),
                f"{api.client.base_url}/schema/openapi.json",
                *("--checks", "all", "--warnings", "off", "--generation-database", "none"),
                *token,
                *options,
                cwd=folder,
                env=os.environ
                | {
                    "MONITOR_FUZZ_STAGE": str(stage),
                    "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
                    "PYTHONPATH": str(ROOT),
                },
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                output, _ = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert process.returncode == 0, output.decode()[-20_000:]
        assert "No issues found" in output.decode()


async def _set(parts: Container, api: Api, receiver: Receiver) -> dict[str, list[str]]:
    """Put something of each kind there, and return the ids by the name of their path parameter."""
    webhooks = [(await api.create(receiver.url, name=f"fuzzed {i}"))["id"] for i in range(5)]
    await api.publish(*range(5))
    await fail(api, *webhooks[:2])
    await Watch(parts).look()
    now = parts.clock.now()
    silence = {"reason": "fuzzed", "ends_at": (now + timedelta(days=1)).isoformat(), "kind": "volume"}
    replay = {"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()}
    assert (await api.post("silences", json=silence)).status_code == 201
    started = await api.post(f"webhooks/{webhooks[0]}/replay", json=replay)
    return {
        "webhook_id": webhooks,
        "event_id": await api.ids("events"),
        "delivery_id": await api.ids("deliveries"),
        "attempt_id": await api.ids(f"webhooks/{webhooks[0]}/attempts"),
        "alert_id": [alert["id"] for alert in await alerts(api)],
        "silence_id": await api.ids("silences"),
        "replay_id": [started.json()["id"]],
        "job_id": [started.json()["id"]],
    }
