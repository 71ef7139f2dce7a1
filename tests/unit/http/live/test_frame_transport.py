"""The transport on servers of any kind."""

from __future__ import annotations

from typing import Any

from monitor.http.live.frame_transport import ASGI_BACKLOG, AsgiFrameTransport
from monitor.http.live.frames import text_of
from tests.unit.http.live.live_support import World


async def test_a_foreign_server_is_sent_frames_in_order_and_counts_as_congested_beyond_its_queue() -> None:
    world = World()
    transport = AsgiFrameTransport()
    sent: list[dict[str, Any]] = []
    drained: list[int] = []
    transport.on_drained = lambda: drained.append(len(sent))
    await world.tell(*range(ASGI_BACKLOG + 10))
    messages = world.stream.after(0)
    for message in messages:
        transport.write(message)
    assert transport.congested
    transport.end(1012, "restarting")
    transport.end(1012, "restarting")

    async def send(event: Any) -> None:
        sent.append(event)

    await transport.pump(send)
    assert [event.get("text") for event in sent] == [text_of(message) for message in messages] + [None]
    assert sent[-1] == {"type": "websocket.close", "code": 1012, "reason": "restarting"}
    assert drained == [12]
    assert not transport.congested
