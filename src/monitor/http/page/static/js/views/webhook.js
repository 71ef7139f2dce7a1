/** One webhook: how it stands, what waits for it, what was sent, and how it does against its own normal. */

import { api } from "../api.js";
import { onFrame } from "../board.js";
import { Attempts } from "../components/attempts.js";
import { Icon } from "../components/icons.js";
import { Queue } from "../components/queue.js";
import { Loaded } from "../components/states.js";
import { UptimeStrip } from "../components/uptime-strip.js";
import { Charts } from "../components/webhook-charts.js";
import { Configuration } from "../components/webhook-configuration.js";
import { WebhookHead, Signals } from "../components/webhook-head.js";
import { Troubles } from "../components/webhook-troubles.js";
import { useFrames, useLoad } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { hrefOf, returnTo } from "../left.js";

const CALM_MS = 15_000;
const MOVING_MS = 3_000;

export function Webhook({ id }) {
  const [isMoving, setMoving] = useState(false);
  const everyMs = isMoving ? MOVING_MS : CALM_MS;
  const load = useLoad(async (signal) => (await api.webhook(id, signal)).data, [id], { everyMs });
  const backlog = load.data?.backlog;
  // What waits changes by itself, and its next try is near.
  useEffect(() => setMoving(Boolean(backlog && (backlog.waiting || backlog.breaker.state !== "closed"))), [backlog]);
  useFrames(onFrame, (frame) => {
    // An alert makes a status, too.
    const isStatus = frame.type === "webhook_status_changed" || frame.type.startsWith("alert_");
    if (isStatus && frame.data.webhook_id === id) load.reload();
  });
  return html`
    <p class="crumbs">
      <a href=${hrefOf("webhooks")} onClick=${returnTo}>
        <${Icon} name="left" size=${12} /> Webhooks
      </a>
    </p>
    <${Loaded} load=${load} what="Reading the webhook" lines=${8}>
      ${(webhook) => html`<${Details} webhook=${webhook} onChange=${load.reload} />`}
    <//>
  `;
}

function Details({ webhook, onChange }) {
  return html`
    <${WebhookHead} webhook=${webhook} onChange=${onChange} />
    <${Queue} webhook=${webhook} onChange=${onChange} />
    <${UptimeStrip} webhook=${webhook} />
    <${Troubles} webhook=${webhook} />
    <${Charts} webhook=${webhook} />
    <${Attempts} webhook=${webhook} />
    <${Signals} webhook=${webhook} />
    <${Configuration} webhook=${webhook} />
  `;
}
