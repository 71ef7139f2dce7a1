"""Chat services with their real limits: the last word about each alert is the true one, and soon."""

from __future__ import annotations

import re
import time
from collections import defaultdict, deque
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.alerts import AlertPolicy
from monitor.domain.alerts.evaluation import DetectionPolicy
from tests.integration.detection_support import Watch, alert, fail, recover
from tests.integration.support import Api, Received, Receiver, eventually, finished, working

FAILING = 16
NOWHERE = "http://127.0.0.1:9/hook"
LATE_S = 200.0
"""How much later than the service allows the last message may come on a slow machine; the schedule waits 300 s."""

# None of the alerts becomes one about all webhooks.
POLICY = DetectionPolicy(
    busy_s=0.001, idle_s=0.001, alert=AlertPolicy(unavailable_s=0.001, mass_failure_min=1_000, reopen_s=0.001)
)
TEAMS_429 = (
    "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId"
    " tcid=0,server=msgapi-production-cse-azsc7-2-35,cv=x.0,MS-CV=x.0.."
)


class Chat:
    """
    A chat service that takes *count* messages in any *period_s*, and says when it takes the next one.

    The first period ends with the first refusal, so that there is one however slowly the messages come.
    """

    def __init__(self, count: int, period_s: float, *, body_format: str) -> None:
        self._count = count
        self._period_s = period_s
        self.body_format = body_format
        self._taken: deque[float] = deque()
        self.refused = 0
        self.messages: dict[str, list[str]] = defaultdict(list)
        """What became visible, by the name of the webhook: whether its alert was raised or resolved."""

    async def answer(self, received: Received) -> web.Response:
        now = time.monotonic()
        while self.refused and self._taken and now - self._taken[0] >= self._period_s:
            self._taken.popleft()
        if len(self._taken) >= self._count:
            self.refused += 1
            return self._refusal(max(0.0, self._period_s - (now - self._taken[0])))
        self._taken.append(now)
        text = received.body.decode()
        [name] = {*re.findall(r"Orders-\d+", text)}
        [verb] = {*re.findall(r"alert (raised|resolved)", text)}
        self.messages[name].append(verb)
        return web.Response(text="1" if self.body_format == "teams" else "ok")

    def _refusal(self, wait_s: float) -> web.Response:
        if self.body_format == "teams":
            return web.Response(text=TEAMS_429, headers={"Retry-After": "1"})
        # Discord gives fractions of a second in the body, whole ones in the header; Slack gives whole ones.
        body = msgspec.json.encode({"message": "You are being rate limited.", "retry_after": wait_s}).decode()
        return web.Response(status=429, text=body, headers={"Retry-After": str(int(wait_s) + 1)})


async def test_the_last_word_at_each_chat_about_each_alert_is_the_true_one(
    api: Api, parts: Container, stack: AsyncExitStack
) -> None:
    watch = Watch(parts, POLICY)
    chats = [
        Chat(5, 2.0, body_format="discord"),
        Chat(1, 1.0, body_format="slack"),
        Chat(4, 1.0, body_format="teams"),
    ]
    for chat in chats:
        receiver = await stack.enter_async_context(Receiver(chat.answer))
        await api.create(receiver.url, event_types=["monitor.alert.*"], body_format=chat.body_format)
    ids = [(await api.create(NOWHERE, name=f"Orders-{n:02}", event_types=["order.*"]))["id"] for n in range(FAILING)]
    async with working(parts, "one"), working(parts, "two"):
        await fail(api, *ids)
        await watch.look()
        # While most of the first messages wait, half of the webhooks recover, and then the others.
        await eventually(lambda: all(chat.refused for chat in chats))
        await recover(api, *ids[::2])
        await watch.look()
        await recover(api, *ids[1::2])
        await watch.look()
        # The slowest one takes one a second; a second 429 waited five minutes before.
        await finished(api, 1, within_s=FAILING + LATE_S)
    for chat in chats:
        assert len(chat.messages) == FAILING
        for name, verbs in chat.messages.items():
            assert verbs in (["resolved"], ["raised", "resolved"]), (chat.body_format, name, verbs)
    for id_ in ids:
        for told in filter(None, [line.get("told") for line in (await alert(api, id_))["history"]]):
            assert told["failed"] == 0
            assert told["destinations"] == told["delivered"] + told["replaced"] == len(chats)
    await _none_failed(api)


async def _none_failed(api: Api) -> None:
    states: dict[str, int] = defaultdict(int)
    params: dict[str, Any] = {"limit": 200}
    for one in (await api.read("deliveries", params=params))["items"]:
        states[one["state"]] += 1
        assert one["state"] == "delivered" or (one["state"], one["last_error"]) == ("cancelled", "replaced")
    assert states["delivered"] + states["cancelled"] == 2 * FAILING * 3
