"""A single attempt with what it sent, and the secret that signed it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from monitor.domain.alerts.action_links import ActionLinks
from monitor.domain.alerts.notification import RAISED
from monitor.domain.delivery.exchange import Exchange, RequestBody
from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.lane import LanePolicy
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.reported import ReportedAttempt
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.errors import NotFound
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.exchanges import ExchangeReader
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.views.deliveries import AttemptView
from monitor.domain.vocab import BodyFormat, SigningSecret
from tests import samples
from tests.fakes.clock import START
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase, Secret
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.domain.services.deliver_bench import Bench


def sign_v1a(_key: bytes, _content: bytes) -> str:
    return "v1a,x"


@pytest.fixture
def reader(queries: FakeQueries) -> ExchangeReader:
    return ExchangeReader(queries, sign_v1a)


@pytest.fixture
def attempts(bench: Bench, queries: FakeQueries, sender: FakeWebhookSender) -> AttemptRecorder:
    sender.receiver = answer
    return AttemptRecorder(bench.unit_of_work, queries, sender, bench.clock, sign_v1a, LanePolicy())


def answer(request: OutboundRequest) -> Outcome:
    return Outcome(5.0, 200, exchange=Exchange(request))


async def delivered(bench: Bench, receiver: Callable[[OutboundRequest], Outcome] = answer) -> tuple[UUID, UUID]:
    """Return the webhook and the attempt of one delivery."""
    webhook_id = await bench.webhook(1)
    bench.sender.receiver = receiver
    claim = await bench.deliverer.claim(None, 1)
    sent = [await samples.send(bench.deliverer, one) for one in claim.deliveries]
    await bench.deliverer.settle([one for one in sent if one is not None])
    return webhook_id, next(iter(bench.database.tables.attempts))


def change(database: FakeDatabase, webhook_id: UUID, body_format: BodyFormat, *keys: bytes) -> None:
    """Give a webhook another format, and *keys*, newest first, in place of its secrets."""
    row = database.tables.webhooks[webhook_id]
    changed = replace(row.webhook, body_format=body_format)
    secrets = tuple(map(Secret, keys)) or row.secrets
    database.tables.webhooks[webhook_id] = replace(row, webhook=changed, secrets=secrets)


def told(view: AttemptView) -> tuple[object, object]:
    body = view.request_body
    return (body.rebuilt if isinstance(body, RequestBody) else body), view.signature_valid_with


async def test_a_delivery_shows_its_payload_and_what_signed_it(bench: Bench, reader: ExchangeReader) -> None:
    webhook_id, attempt_id = await delivered(bench)
    view = await reader.attempt(webhook_id, attempt_id)
    [request] = bench.sender.requests
    assert view.request_body == RequestBody(request.body, rebuilt=False)
    assert view.exchange
    assert view.exchange.body_sha256 == sha256(request.body).hexdigest()
    assert view.signature_valid_with is SigningSecret.CURRENT


async def test_a_changed_format_and_a_rotated_secret_change_the_answer_but_not_the_body(
    bench: Bench, reader: ExchangeReader
) -> None:
    webhook_id, attempt_id = await delivered(bench)
    [key] = [secret.key for secret in bench.database.tables.webhooks[webhook_id].secrets]
    change(bench.database, webhook_id, BodyFormat.SLACK, b"n" * 32, key)
    assert told(await reader.attempt(webhook_id, attempt_id)) == (False, SigningSecret.PREVIOUS)
    change(bench.database, webhook_id, BodyFormat.SLACK, b"n" * 32)
    assert told(await reader.attempt(webhook_id, attempt_id)) == (False, SigningSecret.NONE)


async def test_of_a_deleted_webhook_the_body_is_known_but_no_secret(bench: Bench, reader: ExchangeReader) -> None:
    webhook_id, attempt_id = await delivered(bench)
    row = bench.database.tables.webhooks[webhook_id]
    bench.database.tables.webhooks[webhook_id] = replace(row, deleted_at=START)
    assert told(await reader.attempt(webhook_id, attempt_id)) == (False, None)


async def test_an_attempt_without_an_exchange_is_rebuilt(bench: Bench, reader: ExchangeReader) -> None:
    webhook_id, attempt_id = await delivered(bench, lambda _: samples.OK)
    assert told(await reader.attempt(webhook_id, attempt_id)) == (True, None)


async def test_without_its_event_a_body_is_unknown(bench: Bench, reader: ExchangeReader) -> None:
    webhook_id, attempt_id = await delivered(bench)
    bench.database.tables.events.clear()
    assert told(await reader.attempt(webhook_id, attempt_id)) == (None, None)


@pytest.mark.parametrize("body_format", BodyFormat)
async def test_a_ping_shows_its_body_in_every_format(
    body_format: BodyFormat, bench: Bench, attempts: AttemptRecorder, reader: ExchangeReader
) -> None:
    webhook_id = await bench.webhook(0, body_format=body_format)
    ping = await attempts.ping(webhook_id, samples.ACTOR)
    view = await reader.attempt(webhook_id, ping.id)
    [request] = bench.sender.requests
    assert view.request_body == RequestBody(request.body, rebuilt=False)
    assert view.signature_valid_with is SigningSecret.CURRENT


async def test_of_a_reported_attempt_nothing_is_known(
    bench: Bench, attempts: AttemptRecorder, reader: ExchangeReader
) -> None:
    webhook_id = await bench.webhook(0)
    await attempts.report(
        webhook_id, [ReportedAttempt(delivered_at=START, latency_ms=1.0, status_code=200)], samples.ACTOR
    )
    [attempt_id] = bench.database.tables.attempts
    assert told(await reader.attempt(webhook_id, attempt_id)) == (None, None)
    with pytest.raises(NotFound):
        await reader.attempt(attempt_id, attempt_id)


async def test_the_routing_key_of_a_pager_is_sent_but_never_shown(
    bench: Bench, attempts: AttemptRecorder, reader: ExchangeReader
) -> None:
    key = "0123456789abcdef0123456789abcdef"
    webhook_id = await bench.webhook(0, body_format=BodyFormat.PAGERDUTY)
    row = bench.database.tables.webhooks[webhook_id]
    bench.database.tables.webhooks[webhook_id] = replace(row, headers={"X-Routing-Key": key})
    ping = await attempts.ping(webhook_id, samples.ACTOR)
    [request] = bench.sender.requests
    assert request.body.startswith(b'{"routing_key":"' + key.encode())
    assert key not in dict(request.headers).values()
    view = await reader.attempt(webhook_id, ping.id)
    assert isinstance(view.request_body, RequestBody)
    assert view.request_body.base64.startswith(b'{"routing_key":"***","event_action":"resolve"')
    assert told(view) == (False, SigningSecret.CURRENT)
    assert key.encode() not in msgspec.json.encode(view)


PAGE = "https://monitor.example.com"
OLD_LINKS = ActionLinks(PAGE, (b"o" * 32,))


async def delivered_alert(bench: Bench) -> tuple[UUID, UUID]:
    """Return the webhook and the attempt of one delivery about an alert, with links of the old key."""
    webhook_id = await bench.webhook(0)
    payload = msgspec.json.encode({"type": RAISED, "data": {"alert": {"id": UUID(int=5), "state": "pending"}}})
    told_event = replace(samples.event(bench.clock), type=RAISED, payload=payload)
    async with bench.unit_of_work() as uow:
        await uow.events.add([told_event], [NewDelivery(bench.clock.new_id(), told_event.id, webhook_id, None)])
        await uow.commit()
    bench.sender.receiver = answer
    queries, config = FakeQueries(bench.database), DeliverConfig("worker-1")
    deliverer = Deliverer(bench.unit_of_work, queries, bench.sender, bench.clock, sign_v1a, config, OLD_LINKS)
    [claimed] = (await deliverer.claim(None, 1)).deliveries
    sent = await samples.send(deliverer, claimed)
    assert sent is not None
    await deliverer.settle([sent])
    return webhook_id, next(iter(bench.database.tables.attempts))


@pytest.mark.parametrize(("keys", "is_rebuilt"), [((b"n" * 32, b"o" * 32), False), ((b"n" * 32,), True)])
async def test_links_are_shown_without_their_tokens_by_whichever_key_made_them(
    bench: Bench, queries: FakeQueries, keys: tuple[bytes, ...], is_rebuilt: bool
) -> None:
    webhook_id, attempt_id = await delivered_alert(bench)
    view = await ExchangeReader(queries, sign_v1a, ActionLinks(PAGE, keys)).attempt(webhook_id, attempt_id)
    [request] = bench.sender.requests
    assert b"monitor.example.com" in request.body
    body = view.request_body
    assert isinstance(body, RequestBody)
    assert body.rebuilt == is_rebuilt
    assert (b"/***" in body.base64) != is_rebuilt
    tokens = [link.rpartition("/")[2].encode() for link in msgspec.json.decode(request.body)["links"].values()]
    assert tokens
    assert not any(token in body.base64 for token in tokens)
