/** Notifications: who is told of alerts, when last, and how to tell somebody else. */

import { api } from "../api.js";
import { AddDestination } from "../components/add-destination.js";
import { CoverageBar } from "../components/coverage-bar.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { Status } from "../components/status.js";
import { FORMAT_NAMES, alertsOf } from "../destination-kinds.js";
import { ago, ms, precisely } from "../format.js";
import { useAction, useNow, usePages } from "../hooks.js";
import { html, useState } from "../html.js";
import { may } from "../session.js";

const REFRESH_MS = 30_000;

export function Notifications() {
  const [added, setAdded] = useState(0);
  const pages = usePages((cursor, signal) => api.destinations({ limit: 50, cursor }, signal), [added], {
    everyMs: REFRESH_MS,
  });
  return html`
    <h1 tabindex="-1">Notifications</h1>
    <${CoverageBar} at=${added} isHere=${true} />
    ${may("admin") && html`<${AddDestination} onAdd=${() => setAdded((n) => n + 1)} />`}
    <section class="panel" aria-labelledby="destinations">
      <header class="panel-head"><h2 id="destinations">Destinations</h2></header>
      <${Loaded}
        load=${pages.load}
        what="Reading destinations"
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title="No destinations yet" icon="alerts">
          ${may("admin") ? "Add a chat, a pager or a program of your own." : "An admin can add one."}
        <//>`}
      >
        ${() => html`
          <ul class="list">
            ${pages.items.map((one) => html`<${Destination} key=${one.webhook_id} of=${one} />`)}
          </ul>
          <${Older} pages=${pages}>Load more<//>
        `}
      <//>
      <p class="muted small destinations-note">An alert about a destination itself is sent to the others only.</p>
    </section>
  `;
}

function Destination({ of }) {
  const sample = useAction(() => api.sendSample(of.webhook_id));
  const [result, setResult] = useState(null);
  const send = async () => setResult((await sample.run()) ?? null);
  return html`
    <li class="destination" data-destination=${of.webhook_id}>
      <${Status} of=${of.status} />
      <div class="grow">
        <p>
          <a class="strong" href=${`#/webhooks/${of.webhook_id}`}>${of.name}</a>${" "}
          <span class="tag">${FORMAT_NAMES[of.body_format] ?? of.body_format}</span>
        </p>
        <p class="small muted meta">
          <span>${alertsOf(of.labels)}</span>
          <${LastTold} told=${of.last_told} />
        </p>
        ${of.status !== "healthy" && html`<p class="small muted break">${of.status_reason}</p>`}
        <p class="small" role="status">
          ${result && html`
            <${Status} of=${result.ok ? "delivered" : "failed"} text=${result.ok ? "Sample sent" : "Sample failed"} />
            ${` ${result.status_code ?? result.error_detail ?? result.error} in ${ms(result.latency_ms)}`}
          `}
          ${sample.problem && html`<span class="field-error">${sample.problem.message}</span>`}
        </p>
      </div>
      <div class="actions">
        ${may("operator") && html`
          <button
            type="button"
            class="small"
            aria-label="Send sample to ${of.name}"
            aria-disabled=${sample.isBusy ? "true" : undefined}
            onClick=${() => sample.isBusy || send()}
          >
            Send sample
          </button>
        `}
        ${may("admin") && html`
          <a class="button small" href=${`#/webhooks/${of.webhook_id}/edit`} aria-label="Edit ${of.name}">Edit</a>
        `}
      </div>
    </li>
  `;
}

function LastTold({ told }) {
  const now = useNow(15_000);
  if (told === null) return html`<span>No recent notification</span>`;
  return html`
    <span>
      ${told.error === null ? "Last notification" : `Failed (${told.status_code ?? told.error})`}${" "}
      <time datetime=${told.at} title=${precisely(told.at)}>${ago(told.at, now)}</time>
    </span>
  `;
}
