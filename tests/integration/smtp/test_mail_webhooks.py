"""Webhooks with a ``mailto:`` URL: created, tested, delivered to, retried; an alert is one thread."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.settings.schema import Smtp
from tests.integration.detection_support import Watch, alert, fail, recover
from tests.integration.lease_support import claim_one, sent_by
from tests.integration.support import ONCE, Api, api_of, deliverer, eventually, execute, finished, settings, working
from tests.mail_server import FROM, PASSWORD, USERNAME, MailServer, mail_server

Authority = tuple[ssl.SSLContext, str]
OPS = "mailto:ops@example.org"
PAGE = "https://monitor.example.org/"


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[MailServer]:
    async with mail_server(authority[0], login=True) as listening:
        yield listening


@pytest.fixture
async def with_mail(database_url: str, server: MailServer, authority: Authority) -> AsyncIterator[Container]:
    smtp = Smtp(
        host="127.0.0.1",
        port=server.port,
        ca_file=authority[1],
        username=USERNAME,
        password=PASSWORD,
        from_=FROM,
    )
    async with Container(settings(database_url, smtp=smtp, public_url=PAGE)) as container:
        yield container


@pytest.fixture
async def api(with_mail: Container) -> AsyncIterator[Api]:
    async with api_of(with_mail) as opened:
        yield opened


async def test_an_alert_arrives_as_one_thread_that_says_what_holds(
    api: Api, with_mail: Container, server: MailServer
) -> None:
    watch = Watch(with_mail)
    await api.create("mailto:ops@example.org,boss@example.org", event_types=["monitor.alert.*"])
    failing = (await api.create("http://127.0.0.1:9/hook", name="Orders Zürich", event_types=["order.*"]))["id"]
    async with working(with_mail):
        await fail(api, failing)
        await watch.look()
        found = await alert(api, failing)
        await eventually(lambda: len(server.mails) == 1)
        await api.post(f"alerts/{found['id']}/ack", json={"note": "On it."}, subject="grace")
        await watch.look()
        await eventually(lambda: len(server.mails) == 2)
        await recover(api, failing)
        await watch.look()
        await eventually(lambda: len(server.mails) == 3)
        await finished(api, 3)
    mails = [arrived for _, arrived in server.mails]
    assert {to for to, _ in server.mails} == {("ops@example.org", "boss@example.org")}
    assert len({mail["References"] for mail in mails}) == 1
    assert len({mail["Message-ID"] for mail in mails}) == 3
    assert {mail["X-Monitor-Alert-Id"] for mail in mails} == {found["id"]}
    assert [mail["Subject"].partition("]")[0] for mail in mails] == ["[Critical", "[Acknowledged", "[Resolved"]
    assert found["title"] in mails[0]["Subject"]
    assert "Webhook: Orders Zürich\n" in mails[0].get_content().replace("\r\n", "\n")
    assert "Acknowledged by: grace" in mails[1].get_content()


async def test_both_test_messages_go_out_and_the_exchange_can_be_read(api: Api, server: MailServer) -> None:
    created = await api.create(OPS, event_types=["monitor.alert.*"])
    assert created["body_format"] == "email"
    ping = (await api.post(f"webhooks/{created['id']}/test")).json()
    sample = (await api.post(f"notifications/destinations/{created['id']}/test")).json()
    assert [(one["ok"], one["status_code"]) for one in (ping, sample)] == [(True, 250), (True, 250)]
    first, second = (arrived for _, arrived in server.mails)
    assert first["Subject"] == "[Event] monitor.ping"
    assert second["Subject"] == "[Info] This is a sample. Alerts of Monitor arrive here."
    assert f"{PAGE}#/alerts/" in second.get_content()
    read = await api.read(f"webhooks/{created['id']}/attempts/{ping['id']}")
    fields = {field["name"]: field["value"] for field in read["exchange"]["request_headers"]}
    assert (read["exchange"]["method"], read["exchange"]["url"]) == ("MAIL", OPS)
    assert fields["Message-ID"] == first["Message-ID"]
    assert (read["request_body"]["rebuilt"], read["signature_valid_with"]) == (False, None)
    assert PASSWORD not in msgspec.json.encode(read).decode()


async def test_an_attempt_that_is_repeated_has_the_message_id_of_the_first(
    api: Api, with_mail: Container, server: MailServer
) -> None:
    await api.create(OPS, retry={"schedule_s": [0, 0.01, 0.01], "jitter_ratio": 0})
    server.data_reply = "451 4.3.0 try later"
    async with working(with_mail):
        await api.publish({"amount": 1})
        await eventually(lambda: len(server.seen) >= 1)
        server.data_reply = "250 OK"
        (delivery,) = await finished(api, 1)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", len(server.seen))
    assert len(server.seen) > 1
    assert len({arrived["Message-ID"] for arrived in server.seen}) == 1


async def test_a_mail_of_a_worker_that_died_before_it_settled_comes_again_as_the_same(
    api: Api, with_mail: Container, server: MailServer
) -> None:
    await api.create(OPS)
    await api.publish({"amount": 1})
    killed = deliverer(with_mail, "killed")
    delivery = await eventually(lambda: claim_one(killed))
    assert (await sent_by(killed, delivery)).outcome.ok
    await execute(with_mail, "UPDATE deliveries SET due_at = now()")  # Its lease ends.
    async with working(with_mail):
        await finished(api, 1)
    assert len(server.mails) == 2
    assert len({arrived["Message-ID"] for _, arrived in server.mails}) == 1


async def test_a_recipient_that_does_not_exist_ends_the_delivery_with_the_servers_words(
    api: Api, with_mail: Container, server: MailServer
) -> None:
    created = await api.create(OPS)
    server.replies["ops@example.org"] = "550 5.1.1 no such user"
    async with working(with_mail):
        await api.publish({"amount": 1})
        (delivery,) = await finished(api, 1)
    assert (delivery["state"], delivery["attempts"], delivery["last_status_code"]) == ("failed", 1, 550)
    ((attempt,),) = [page async for page in api.pages(f"webhooks/{created['id']}/attempts", limit=10)]
    assert attempt["response_body"] == "550 5.1.1 no such user"
    assert attempt["error_detail"] == "SMTP 550: the mail server refuses the mail; it will not be tried again"
    webhook = await api.read(f"webhooks/{created['id']}")
    assert "SMTP 550" in webhook["health"]["reason"]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"url": "mailto:ops@example.org?cc=a@example.org"}, "/url"),
        ({"url": "mailto:ops"}, "/url"),
        ({"url": OPS, "headers": {"X-Team": "ops"}}, "/headers"),
        ({"url": OPS, "body_format": "slack"}, "/body_format"),
    ],
)
async def test_what_e_mail_cannot_be_is_refused(api: Api, members: dict[str, object], pointer: str) -> None:
    answer = await api.post("webhooks", json={"name": "Mail", **members})
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_without_a_mail_server_none_is_created_and_a_stored_one_says_what_is_missing(
    api: Api, database_url: str
) -> None:
    created = await api.create(OPS, retry=ONCE)
    async with Container(settings(database_url)) as without, api_of(without) as bare:
        answer = await bare.post("webhooks", json={"name": "Mail", "url": OPS})
        assert answer.status_code == 422
        assert "MONITOR_SMTP__HOST" in answer.json()["detail"]
        ping = (await bare.post(f"webhooks/{created['id']}/test")).json()
    assert (ping["ok"], ping["error"]) == (False, "blocked")
    assert "MONITOR_SMTP__HOST is not set" in ping["error_detail"]
