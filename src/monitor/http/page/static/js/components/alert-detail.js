/** One alert: what was measured, what was done, and what can be done now. */

import { api } from "../api.js";
import { onFrame } from "../board.js";
import { ago, at, capital, count, duration, ms, percent, precisely } from "../format.js";
import { useFrames, useLoad, useNow } from "../hooks.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { may } from "../session.js";
import { openAcknowledge, openResolve } from "./alert-actions.js";
import { Icon } from "./icons.js";
import { Loaded } from "./states.js";
import { AlertState, Status } from "./status.js";

export function AlertDetail({ id, back }) {
  const load = useLoad((signal) => api.alert(id, signal), [id]);
  useFrames(onFrame, ({ type, data }) => {
    if (type.startsWith("alert_") && data.id === id) load.reload();
  });
  return html`
    <section class="panel detail-pane" aria-label="Alert">
      <a class="button bare close" href=${back} aria-label="Close the alert">
        <${Icon} name="close" />
      </a>
      <${Loaded} load=${load} what="Reading the alert" lines=${6}>
        ${(alert) => html`<${Detail} alert=${alert} />`}
      <//>
    </section>
  `;
}

function Detail({ alert }) {
  const now = useNow();
  return html`
    <p class="meta">
      <${Status} of=${alert.severity} /> <${AlertState} alert=${alert} /> <span class="tag">${alert.kind}</span>
    </p>
    <h2 class="alert-title">${alert.title}</h2>
    <p class="muted small">
      Raised${" "}
      <time datetime=${alert.raised_at} title=${precisely(alert.raised_at)}>
        ${ago(alert.raised_at, now)}
      </time>
      , ${at(alert.raised_at)}
      ${alert.count > 1 ? ` · ${alert.count} times` : ""}
      ${alert.webhook_id && html`
        ${" · "}
        <a href=${`#/webhooks/${alert.webhook_id}`}>${alert.webhook_name}</a>
      `}
    </p>
    ${may("operator") && html`
      <div class="actions">
        ${alert.state === "pending" && html`
          <button type="button" class="primary" onClick=${() => openAcknowledge([alert])}>
            Acknowledge
          </button>
        `}
        ${alert.state !== "resolved" && html`
          <button type="button" onClick=${() => openResolve(alert)}>Resolve</button>
        `}
        <a class="button" href=${href("/silences/new", { webhook: alert.webhook_id, kind: alert.kind })}>
          Silence
        </a>
      </div>
    `}
    ${alert.note && html`<blockquote>${alert.note}</blockquote>`}
    ${alert.ack_expires_at && html`
      <p class="small muted">The acknowledgement expires ${at(alert.ack_expires_at)}.</p>
    `}
    <h3>Evidence</h3>
    ${Object.entries(alert.evidence).map(([cause, evidence]) => html`
      <${Evidence} key=${cause} cause=${cause} evidence=${evidence} holds=${alert.causes.includes(cause)} />
    `)}
    <h3>History</h3>
    <ol class="timeline">
      ${(alert.history ?? []).toReversed().map((entry) => html`<${Entry} entry=${entry} />`)}
    </ol>
  `;
}

const RATIOS = new Set(["failures", "latency_tail"]);
const UNITS = { latency: ms, volume: count, no_data: count };

function Evidence({ cause, evidence, holds }) {
  const unit = RATIOS.has(cause) ? percent : UNITS[cause];
  const isMeasured = typeof evidence?.observed === "number";
  return html`
    <div class="evidence">
      <p class="small">
        <b>${capital(cause.replaceAll("_", " "))}</b> ${!holds && html`<span class="muted">cleared</span>`}
      </p>
      ${isMeasured && unit ? html`
        <dl class="pairs compact">
          <div>
            <dt>Observed</dt>
            <dd>${unit(evidence.observed)}</dd>
          </div>
          <div>
            <dt>Normal</dt>
            <dd>${unit(evidence.expected)}</dd>
          </div>
          <div>
            <dt>Sample</dt>
            <dd>${count(evidence.n)} attempts in ${duration(evidence.window_s)}</dd>
          </div>
          <div>
            <dt>p-value</dt>
            <dd>${evidence.p_value.toExponential(1)}</dd>
          </div>
        </dl>
      ` : html`
        <dl class="pairs compact">
          ${Object.entries(evidence ?? {}).map(([name, value]) => html`
            <div>
              <dt>${capital(name.replaceAll("_", " "))}</dt>
              <dd>${shown(name, value)}</dd>
            </div>
          `)}
        </dl>
      `}
    </div>
  `;
}

function shown(name, value) {
  if (name.endsWith("probability") || name.endsWith("ratio")) return percent(value);
  if (name === "since" || name.endsWith("_at")) return at(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const ACTIONS = {
  raised: ["alerts", "raised"],
  repeated: ["alerts", "raised again"],
  cause_cleared: ["info", "a cause cleared"],
  escalated: ["critical", "escalated"],
  acknowledged: ["check", "acknowledged"],
  ack_expired: ["pending", "acknowledgement expired"],
  resolved: ["healthy", "resolved"],
  reopened: ["alerts", "reopened"],
  notified: ["events", "subscribers notified"],
  flapping: ["activity", "flapping"],
  flapping_ended: ["healthy", "flapping ended"],
};

function Entry({ entry }) {
  const [icon, words] = ACTIONS[entry.action] ?? ["info", entry.action];
  return html`
    <li>
      <${Icon} name=${icon} size=${13} />
      <div>
        <p class="small">
          <b>${capital(words)}</b>
          ${entry.actor !== "system" && html` by ${entry.actor}`}${" "}
          <time class="muted" datetime=${entry.at} title=${precisely(entry.at)}>${at(entry.at)}</time>
        </p>
        ${entry.title && html`<p class="small muted">${entry.title}</p>`}
        ${entry.note && html`<blockquote>${entry.note}</blockquote>`}
      </div>
    </li>
  `;
}
