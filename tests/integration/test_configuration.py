"""Configuration as code on a real server: export, diff and apply."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests import servers
from tests.integration.processes import Invoke, Result
from tests.integration.support import Api
from tests.strategies.configuration import silence_bodies, webhook_bodies

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
SHOP = f"""\
owner: shop
webhooks:
- name: orders
  url: https://orders.example.com/hook
  event_types: [order.*]
  labels: {{team: blue}}
  headers:
    X-Token: {{env: ORDERS_TOKEN}}
  secret: {{env: ORDERS_SECRET}}
- name: stock
  url: https://stock.example.com/hook
silences:
- reason: Backup
  webhook: orders
  starts_at: {datetime.now(UTC).date()}T02:00:00Z
  duration_s: 3600
  recurrence: {{rrule: FREQ=DAILY, timezone: UTC}}
"""
SECRETS = {"ORDERS_TOKEN": "t0ken-of-orders", "ORDERS_SECRET": SECRET}
Monitor = Callable[..., Awaitable[Result]]


@pytest.fixture
def monitor(server: Api, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitor]:
    """Run a command that calls the server."""
    token = tmp_path / "token"
    token.write_text(server._sign(Role.ADMIN, "ci") + "\n")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    to = ("--url", str(server.client.base_url).rstrip("/"), "--token-file", str(token))

    async def run(command: str, *arguments: str) -> Result:
        # In a thread, since it blocks, and the server runs here.
        return await asyncio.to_thread(invoke, command, *arguments, *to)

    # The server's warnings would stand in the output of the command, which runs in the same process.
    with capture_logs():
        yield run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    return path


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


async def audited(api: Api) -> int:
    return len((await api.read("audit-log", params={"limit": 200}))["items"])


async def owned(api: Api, owner: str = "shop") -> dict[str, Any]:
    rows = (await api.read("webhooks", params={"label": f"monitor.managed_by={owner}", "limit": 100}))["items"]
    return {row["name"]: row for row in rows}


async def test_a_file_is_planned_applied_and_then_agrees(monitor: Monitor, server: Api, shop: Path) -> None:
    planned = await monitor("diff", str(shop))
    assert planned.code == 2, planned.err
    assert planned.out.splitlines() == [
        '+ webhook "orders"',
        '+ webhook "stock"',
        '+ silence "Backup"',
        "3 to create, 0 to change, 0 to delete, 0 unchanged",
    ]
    assert await owned(server) == {}

    applied = await monitor("apply", str(shop), "--yes")

    assert (applied.code, applied.out.splitlines()[-1]) == (0, "applied: 3 of 3"), applied.err
    orders = (await owned(server))["orders"]
    assert orders["labels"] == {"team": "blue", "monitor.managed_by": "shop"}
    (silence,) = (await server.read("silences"))["items"]
    assert (silence["webhook_id"], silence["created_by"]) == (orders["id"], "ci")
    assert re.fullmatch(r"Backup\n\[monitor\.managed_by=shop [0-9a-f]{12}\]", silence["reason"])
    rotated = await server.post(f"webhooks/{orders['id']}/rotate-secret", json={"secret": SECRET})
    assert rotated.json()["secret"] == SECRET

    before = await audited(server)
    assert (await monitor("diff", str(shop))).code == 0
    again = await monitor("apply", str(shop), "--yes")
    assert (again.code, again.out) == (0, "0 to create, 0 to change, 0 to delete, 3 unchanged\n")
    assert await audited(server) == before
    for result in (planned, applied, again):
        assert not any(secret in result.out + result.err for secret in SECRETS.values())


async def test_a_change_is_shown_before_and_after_and_keeps_what_is_secret(
    monitor: Monitor, server: Api, shop: Path
) -> None:
    await monitor("apply", str(shop), "--yes")
    text = SHOP.replace("[order.*]", "['*']").replace("duration_s: 3600", "duration_s: 7200")
    rewrite(shop, text)
    lines = (await monitor("diff", str(shop))).out.splitlines()
    assert lines == [
        '~ webhook "orders"',
        '    event_types: ["order.*"] → ["*"]',
        '~ silence "Backup"',
        "    duration_s: 3600 → 7200",
        "0 to create, 2 to change, 0 to delete, 1 unchanged",
    ]
    assert (await monitor("apply", str(shop), "--yes")).code == 0
    orders = (await owned(server))["orders"]
    assert (orders["event_types"], orders["headers"]) == (["*"], {"X-Token": "***"})
    (silence,) = (await server.read("silences", params={"active": True}))["items"]
    assert silence["duration_s"] == 7200
    assert (await monitor("diff", str(shop))).code == 0


async def test_only_pruning_deletes_and_only_what_is_owned(monitor: Monitor, server: Api, shop: Path) -> None:
    by_hand = await server.create("https://hand.example.com/", name="by hand")
    other = await server.create("https://other.example.com/", name="orders", labels={"monitor.managed_by": "other"})
    await monitor("apply", str(shop), "--yes")
    rewrite(shop, "owner: shop\n")

    kept = await monitor("diff", str(shop))
    assert kept.code == 0
    assert '  left: "stock" is not in the file; --prune deletes it' in kept.out.splitlines()
    pruned = await monitor("apply", str(shop), "--yes", "--prune", "--json")

    data = json.loads(pruned.out)
    assert [(step["action"], step["name"], step["done"]) for step in data["steps"]] == [
        ("delete", "Backup", True),
        ("delete", "stock", True),
        ("delete", "orders", True),
    ]
    left = await server.ids("webhooks", limit=100)
    assert set(left) == {by_hand["id"], other["id"]}
    assert (await server.read("silences", params={"active": True}))["items"] == []


async def test_what_has_no_owner_is_taken_over_when_asked(monitor: Monitor, server: Api, shop: Path) -> None:
    created = await server.create("https://stock.example.com/hook", name="stock")
    refused = await monitor("apply", str(shop), "--yes")
    assert refused.code == 1
    assert "take it over with --adopt" in refused.err
    assert await owned(server) == {}

    assert (await monitor("apply", str(shop), "--yes", "--adopt")).code == 0
    assert (await owned(server))["stock"]["id"] == created["id"]
    assert (await monitor("diff", str(shop))).code == 0


async def test_secrets_are_sent_again_when_asked(monitor: Monitor, server: Api, shop: Path) -> None:
    await monitor("apply", str(shop), "--yes")
    sent = await monitor("apply", str(shop), "--yes", "--set-secrets", "orders")
    assert "    headers.X-Token: set again; its value is not shown" in sent.out.splitlines()
    actions = [row["action"] for row in (await server.read("audit-log", params={"limit": 2}))["items"]]
    assert actions == ["webhook.rotate_secret", "webhook.update"]
    unknown = await monitor("diff", str(shop), "--set-secrets", "odrers")
    assert (unknown.code, "no webhook of this name" in unknown.err) == (1, True)


async def test_a_missing_secret_is_found_before_anything_is_written(
    monitor: Monitor, server: Api, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORDERS_TOKEN")
    assert (await monitor("diff", str(shop))).code == 2
    applied = await monitor("apply", str(shop), "--yes")
    assert applied.code == 1
    assert "headers.X-Token: the environment variable ORDERS_TOKEN is not set; export it." in applied.err
    assert await audited(server) == 0


async def test_a_webhook_that_monitor_disabled_stays_so(
    monitor: Monitor, server: Api, parts: Container, shop: Path
) -> None:
    await monitor("apply", str(shop), "--yes")
    stock = (await owned(server))["stock"]["id"]
    async with parts.unit_of_work() as uow:
        await uow.webhooks.disable(stock, "gone")
        await uow.commit()
    assert (await monitor("diff", str(shop))).code == 0


async def test_a_failure_in_the_middle_says_so_and_a_repeat_goes_on(monitor: Monitor, server: Api, shop: Path) -> None:
    # Only the server judges addresses.
    rewrite(shop, SHOP.replace("https://stock.example.com", "http://10.0.0.1"))
    failed = await monitor("apply", str(shop), "--yes")
    assert failed.code == 1
    assert 'monitor apply: 1 of 3 done; webhook "stock" failed: 422: ' in failed.err
    assert set(await owned(server)) == {"orders"}
    rewrite(shop, SHOP)
    assert (await monitor("apply", str(shop), "--yes")).out.splitlines()[-1] == "applied: 2 of 2"
    assert (await monitor("diff", str(shop))).code == 0


async def test_many_changes_are_made_at_once_and_a_refused_one_ends_them(
    monitor: Monitor, server: Api, tmp_path: Path
) -> None:
    path = tmp_path / "many.yaml"
    names = [f"n{number:02}" for number in range(30)]
    rows = [{"name": name, "url": f"https://{name}.example.com/"} for name in names]
    in_a_week = (datetime.now(UTC) + timedelta(days=7)).isoformat(timespec="seconds")
    quiet = [{"reason": name, "webhook": name, "ends_at": in_a_week} for name in names[:5]]
    refused = [*rows[:10], {"name": "refused", "url": "http://10.0.0.1/"}, *rows[10:]]

    rewrite(path, json.dumps({"owner": "many", "webhooks": refused, "silences": quiet}))
    failed = await monitor("apply", str(path), "--yes", "--parallel", "4", "--json")
    data = json.loads(failed.out)
    done = {step["name"] for step in data["steps"] if step["done"]}
    assert (failed.code, data["done"], data["problem"][:5]) == (1, len(done), "422: ")
    assert [step["name"] for step in data["steps"] if step["problem"]] == ["refused"]
    assert set(await owned(server, "many")) == done
    # Three more at most were in flight, and no silence.
    assert set(names[:8]) <= done <= set(names[:13])
    assert f"{36 - len(done) - 1} not begun." in failed.err.splitlines()

    rewrite(path, json.dumps({"owner": "many", "webhooks": rows, "silences": quiet}))
    assert (await monitor("apply", str(path), "--yes")).code == 0
    made = await owned(server, "many")
    assert len(made) == 30
    silences = (await server.read("silences", params={"limit": 100}))["items"]
    assert {row["webhook_id"] for row in silences} == {made[name]["id"] for name in names[:5]}
    before = await audited(server)
    assert (await monitor("apply", str(path), "--yes", "--prune", "--parallel", "1")).code == 0
    assert await audited(server) == before
    exported = yaml.safe_load((await monitor("export", "--owner", "many")).out)
    assert [row["name"] for row in exported["webhooks"]] == names


@pytest.mark.parametrize("number", ["0", "33", "x"])
async def test_how_many_changes_at_once_is_bounded(monitor: Monitor, shop: Path, number: str) -> None:
    refused = await monitor("apply", str(shop), "--parallel", number)
    assert (refused.code, "give a number from 1 to 32" in refused.err) == (1, True)


async def test_without_a_terminal_nothing_is_applied_unasked(monitor: Monitor, server: Api, shop: Path) -> None:
    for more in ((), ("--json",)):
        refused = await monitor("apply", str(shop), *more)
        assert (refused.code, "give --yes" in refused.err) == (1, True)
    assert await audited(server) == 0


async def test_an_export_has_references_for_all_that_is_secret(monitor: Monitor, server: Api, tmp_path: Path) -> None:
    await server.create(
        "https://hooks.slack.com/services/T0/B0/s3cret", name="Chat!", body_format="slack", headers={"X-Key": "s3cret"}
    )
    exported = await monitor("export")
    assert exported.code == 0, exported.err
    assert "s3cret" not in exported.out
    assert yaml.safe_load(exported.out) == {
        "webhooks": [
            {
                "name": "Chat!",
                "url": {"env": "WEBHOOK_CHAT_URL"},
                "headers": {"X-Key": {"env": "WEBHOOK_CHAT_X_KEY"}},
                "body_format": "slack",
                "secret": {"env": "WEBHOOK_CHAT_SECRET"},
            }
        ]
    }
    assert json.loads((await monitor("export", "--json")).out) == yaml.safe_load(exported.out)


async def test_rows_are_exported_page_by_page_as_ndjson_and_csv(monitor: Monitor, server: Api) -> None:
    for number in range(203):
        await server.create("https://hook.example.com/", name=f"=n{number}")
    lines = (await monitor("export", "webhooks")).out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [f"=n{number}" for number in reversed(range(203))]
    table = (await monitor("export", "webhooks", "--format", "csv")).out.split("\r\n")
    assert len(table) == 205
    assert table[0].startswith("id,name,url,")
    # Not a formula.
    assert table[1].split(",")[1] == "'=n202"
    actions = (await monitor("export", "audit-log", "--from", "2100-01-01T00:00:00Z", "--json")).out
    assert actions == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("attempts",), "give --webhook ID"),
        (("webhooks", "--state", "pending"), "an export of webhooks does not take --state"),
        (("--from", "2026-01-01T00:00:00Z"), "an export of configuration does not take --from"),
        (("events", "--owner", "shop"), "--owner is for the configuration"),
        (("events", "--json", "--format", "csv"), "not both"),
    ],
)
async def test_options_that_an_export_would_not_heed_are_refused(
    monitor: Monitor, arguments: tuple[str, ...], says: str
) -> None:
    refused = await monitor("export", *arguments)
    assert (refused.code, says in refused.err) == (2, True), refused.err


async def test_a_token_of_too_little_rights_is_refused_in_words(
    monitor: Monitor, server: Api, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(server._sign(Role.VIEWER, "ci"))
    refused = await monitor("diff", str(shop))
    assert refused.code == 1
    assert "403: This needs the role" in refused.err


@given(data=st.data(), owner=st.none() | st.just("shop"))
@settings(
    max_examples=6,
    deadline=None,
    # An example takes a second; a smaller one would take minutes to find.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
async def test_an_export_applied_to_an_empty_server_leaves_no_difference(
    data: st.DataObject,
    owner: str | None,
    monitor: Monitor,
    server: Api,
    parts: Container,
    postgres: servers.Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is configured: its export, applied to an empty server, is what an export of that gives again; a second
    `apply` writes nothing."""
    await postgres.wipe(parts.database.dsn)
    bodies = data.draw(st.lists(webhook_bodies, max_size=4, unique_by=lambda body: body["name"]))
    labels = {} if owner is None else {"monitor.managed_by": owner}
    ids = [
        (await created(server, "webhooks", {**body, "labels": {**body.get("labels", {}), **labels}}))["id"]
        for body in bodies
    ]
    now = datetime.now(UTC).replace(microsecond=0)
    if owner is None:
        for body in data.draw(st.lists(silence_bodies(now), max_size=3, unique_by=lambda body: body["reason"])):
            about = data.draw(st.sampled_from([None, *ids]))
            await created(server, "silences", {**body, **({"webhook_id": about} if about else {})}, may_refuse=True)
    exported = (await monitor("export", *(("--owner", owner) if owner else ()))).out
    path = tmp_path / "export.yaml"
    path.write_text(exported)
    # What the references stand for, as an operator would set it.
    for row in yaml.safe_load(exported)["webhooks"] or ():
        body = next(one for one in bodies if one["name"] == str(row["name"]))
        fits = body.get("signature", "v1") == "v1"
        values = {"secret": SECRET, "url": body["url"]} | body.get("headers", {})
        for name, place in {**row.get("headers", {}), "secret": row["secret"], "url": row["url"]}.items():
            if isinstance(place, dict):
                monkeypatch.setenv(place["env"], values[name])
        if not fits:
            path.write_text(path.read_text().replace(f"  secret:\n    env: {row['secret']['env']}\n", ""))

    await postgres.wipe(parts.database.dsn)
    applied = await monitor("apply", str(path), "--owner", "shop", "--yes")

    assert applied.code == 0, (exported, applied)
    assert (await monitor("diff", str(path), "--owner", "shop")).code == 0, exported
    before = await audited(server)
    assert (await monitor("apply", str(path), "--owner", "shop", "--yes", "--prune")).code == 0
    assert await audited(server) == before
    assert (
        yaml.safe_load((await monitor("export", "--owner", "shop")).out)["webhooks"]
        == (yaml.safe_load(exported)["webhooks"])
    )


async def created(api: Api, path: str, body: dict[str, Any], *, may_refuse: bool = False) -> dict[str, Any]:
    response = await api.post(path, json=body)
    if may_refuse and response.status_code == 422:
        return {}
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer
