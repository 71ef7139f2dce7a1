"""What there is to see: webhooks in every condition, an anomaly, alerts, a silence, events. Some of it is hostile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tests.browser.site import Receiver, Site, until

CANARY = '<img src=x onerror="window.canary=1"><script>window.canary=1</script>'
"""Runs if it ever becomes markup. Stands wherever other people's text is shown."""

LEARNED = 400
"""Attempts after which the detector knows what is normal."""


class Seeded(msgspec.Struct, frozen=True):
    """Ids of what was made."""

    failing: str
    hostile: str
    alert: str
    event: str


def seed(site: Site, receiver: Receiver) -> Seeded:
    """Fill *site* and wait until its detector has seen enough; takes half a minute."""
    receiver.body = CANARY.encode()
    hostile = site.create(
        receiver.url,
        name=f"Hostile {CANARY}",
        description=CANARY,
        event_types=["hostile.*", "order.*"],
        labels={"team": CANARY},
        headers={"X-Team": "billing"},
    )["id"]
    labels = {"team": CANARY}
    event = site.call("POST", "events", {"type": "order.paid", "payload": {"text": CANARY}, "labels": labels})["id"]
    failing = site.create("http://127.0.0.1:9/closed", name="Billing, north", event_types=["billing.*"])["id"]
    held = site.create(receiver.url, name="Shipping", event_types=["shipping.*"])["id"]
    site.call("POST", f"webhooks/{held}/pause")
    site.create(receiver.url, name="Archive", event_types=["archive.*"], enabled=False)
    ends_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    site.call("POST", "silences", {"reason": f"Upgrade {CANARY}", "ends_at": ends_at, "kind": "volume"})

    report(site, failing, 200, LEARNED)
    until(lambda: site.call("GET", f"webhooks/{failing}")["signals"]["failures"] == "normal", within_s=120)
    report(site, failing, 503, LEARNED)
    alerts: list[dict[str, Any]] = until(
        lambda: site.call("GET", f"alerts?webhook_id={failing}")["items"], within_s=120
    )
    return Seeded(failing=failing, hostile=hostile, alert=alerts[0]["id"], event=event)


def report(site: Site, webhook_id: str, status: int, n: int) -> None:
    """Report *n* attempts of the last minutes, as an outside sender would."""
    now = datetime.now(UTC)
    attempts = [
        {
            "delivered_at": (now - timedelta(seconds=i / 4)).isoformat(),
            "status_code": status,
            "latency_ms": 40 + 7 * (i % 13) + (400 if i % 40 == 0 else 0),
        }
        for i in range(n)
    ]
    site.call("POST", f"webhooks/{webhook_id}/attempts", {"attempts": attempts})
