/** One webhook: how it does against its own normal, what went wrong, and what can be done about it. */

import { api } from "../api.js";
import { onFrame } from "../board.js";
import { Attempts } from "../components/attempts.js";
import { Icon } from "../components/icons.js";
import { Loaded } from "../components/states.js";
import { Charts } from "../components/webhook-charts.js";
import { Configuration } from "../components/webhook-configuration.js";
import { WebhookHead, Signals } from "../components/webhook-head.js";
import { Troubles } from "../components/webhook-troubles.js";
import { useFrames, useLoad } from "../hooks.js";
import { html } from "../html.js";

const REFRESH_MS = 15_000;

export function Webhook({ id }) {
  const load = useLoad(async (signal) => (await api.webhook(id, signal)).data, [id], { everyMs: REFRESH_MS });
  useFrames(onFrame, (frame) => {
    if (frame.type === "webhook_status_changed" && frame.data.webhook_id === id) load.reload();
  });
  return html`
    <p class="crumbs">
      <a href="#/webhooks">
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
    <${Signals} webhook=${webhook} />
    <${Charts} webhook=${webhook} />
    <${Troubles} webhook=${webhook} />
    <${Attempts} webhook=${webhook} />
    <${Configuration} webhook=${webhook} />
  `;
}
