/** One webhook: how it does against its own normal, what went wrong, and what can be done about it. */

import { api } from "../api.js";
import { onFrame } from "../board.js";
import { FailureChart, LatencyChart, fill } from "../charts/series.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded } from "../components/states.js";
import { Status, standing } from "../components/status.js";
import { ago, at, capital, count, ms, percent, plural, precisely } from "../format.js";
import { held } from "../held.js";
import { useFrames, useLoad, useNow } from "../hooks.js";
import { html, useMemo } from "../html.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
import { AlertLine } from "./alert-line.js";
import { Attempts } from "./attempts.js";
import { AnomalyLine, RangePicker } from "./overview.js";
import { CustomRange, rangeOf } from "./range.js";
import { Configuration } from "./webhook-configuration.js";
import { Actions } from "./webhook-actions.js";

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
    <${Head} webhook=${webhook} onChange=${onChange} />
    <${Signals} webhook=${webhook} />
    <${Charts} webhook=${webhook} />
    <${Troubles} webhook=${webhook} />
    <${Attempts} webhook=${webhook} />
    <${Configuration} webhook=${webhook} />
  `;
}

function Head({ webhook, onChange }) {
  const now = useNow();
  const { health } = webhook;
  const state = standing(webhook);
  return html`
    <div class="title-row">
      <div class="grow">
        <h1 tabindex="-1">${webhook.name}</h1>
        <p class="mono small muted break">${webhook.url}</p>
      </div>
      <${Actions} webhook=${webhook} onChange=${onChange} />
    </div>
    <p class="verdict ${{ healthy: "ok", degraded: "warn", unavailable: "bad" }[state] ?? ""}">
      <${Status} of=${state} />
      <span>
        ${state === "disabled"
          ? `${disabling(webhook, now)} `
          : state === "paused"
            ? `Paused since ${at(webhook.paused_at)}: deliveries are held, none are lost. `
            : ""}
        ${health.reason}
      </span>
      ${health.changed_at && html`
        <span class="muted small" title=${precisely(health.changed_at)}>
          since ${ago(health.changed_at, now)}
        </span>
      `}
      <span class="muted small">
        failure probability of the next delivery ${percent(health.failure_probability)}
      </span>
    </p>
    ${webhook.held && !["disabled", "paused"].includes(webhook.held.reason) && html`
      <p class="small muted">${held(webhook.held, now)}</p>
    `}
  `;
}

function disabling({ disabled }, now) {
  if (!disabled) return "Disabled by configuration.";
  const { reason, events_kept_until: until, next_probe_at: probe } = disabled;
  const kept = until
    ? ` Its events are kept until ${at(until)}; enable it before, and they can be delivered.`
    : "";
  return `${reason}${kept}${probe ? ` Next probe ${ago(probe, now)}.` : ""}`;
}

const STATE_SHAPES = { learning: ["unknown", "none"], normal: ["healthy", "ok"], open: ["degraded", "warn"] };

function Signals({ webhook }) {
  if (!webhook.signals) return null;
  return html`
    <ul class="chips" aria-label="Signals">
      ${Object.entries(webhook.signals)
        .toSorted()
        .map(([signal, state]) => {
          const [shape, tone] = STATE_SHAPES[state] ?? STATE_SHAPES.learning;
          return html`
            <li class="status ${tone}">
              <${Icon} name=${shape} size=${12} />
              ${capital(signal.replaceAll("_", " "))}: ${state}
            </li>
          `;
        })}
    </ul>
  `;
}

function Charts({ webhook }) {
  const { query } = useStore(route);
  const range = query.range ?? "1h";
  const shown = rangeOf(query);
  const load = useLoad(
    async (signal) => {
      const { fromS, toS, stepS } = rangeOf(route.get().query);
      const times = {
        from: new Date(fromS * 1_000).toISOString(),
        to: new Date(toS * 1_000).toISOString(),
        step: stepS,
      };
      const [metrics, open, closed] = await Promise.all([
        api.metrics(webhook.id, times, signal),
        api.anomalies({ webhook_id: webhook.id, limit: 50 }, signal),
        api.anomalies({ webhook_id: webhook.id, state: "closed", limit: 50 }, signal),
      ]);
      return { metrics, anomalies: [...open.items, ...closed.items] };
    },
    [webhook.id, range, query.from, query.to],
    { everyMs: shown.isMoving ? REFRESH_MS : 0 },
  );
  return html`
    <section class="panel" aria-labelledby="performance">
      <header class="panel-head">
        <h2 id="performance">Performance</h2>
        <div class="row">
          <${RangePicker} value=${range} onChange=${(name) => setQuery({ range: name, from: "", to: "" })} />
          <${CustomRange} query=${query} />
        </div>
      </header>
      <${Loaded}
        load=${load}
        what="Reading metrics"
        lines=${6}
        isEmpty=${(data) => data.metrics.total.attempts === 0}
        empty=${html`<${Empty} title="No attempts in this range" icon="activity">
          Post a matching event or send a test.
        <//>`}
      >
        ${(data) => html`<${Series} ...${data} normal=${webhook.normal} />`}
      <//>
    </section>
  `;
}

function Series({ metrics, anomalies, normal }) {
  const { x, known } = useMemo(
    () =>
      fill(
        metrics.points,
        Date.parse(metrics.from_at) / 1_000,
        Date.parse(metrics.to_at) / 1_000,
        metrics.step_s,
      ),
    [metrics],
  );
  const spans = useMemo(() => spansOf(anomalies), [anomalies]);
  const { total } = metrics;
  const errors = Object.entries(total.errors)
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, 6);
  return html`
    <p class="totals">
      ${plural(total.attempts, "attempt")} · <b>${percent(total.success_ratio)}</b> succeeded · p50${" "}
      ${ms(total.p50_ms)} · p95 ${ms(total.p95_ms)} · p99 ${ms(total.p99_ms)}
      ${errors.length > 0 && html`
        ${" "}
        · errors${" "}
        ${errors.map(([label, n]) => html`
          <span class="tag">
            ${label} × ${count(n)}
          </span>${" "}
        `)}
      `}
    </p>
    <div class="charts">
      <${LatencyChart} x=${x} known=${known} normal=${normal} spans=${spans.latency} />
      <${FailureChart} x=${x} known=${known} normal=${normal} spans=${spans.failures} />
    </div>
  `;
}

const OF_LATENCY = new Set(["latency", "latency_tail"]);

function spansOf(anomalies) {
  const spans = { latency: [], failures: [] };
  for (const { signal, opened_at: opened, closed_at: closed } of anomalies) {
    const span = { from: Date.parse(opened) / 1_000, to: closed ? Date.parse(closed) / 1_000 : Infinity };
    spans[OF_LATENCY.has(signal) ? "latency" : "failures"].push(span);
  }
  return spans;
}

function Troubles({ webhook }) {
  const now = useNow();
  const load = useLoad(
    async (signal) => {
      const [alerts, open, closed] = await Promise.all([
        api.alerts({ webhook_id: webhook.id, state: "all", limit: 10 }, signal),
        api.anomalies({ webhook_id: webhook.id, limit: 10 }, signal),
        api.anomalies({ webhook_id: webhook.id, state: "closed", limit: 10 }, signal),
      ]);
      return { alerts: alerts.items, anomalies: [...open.items, ...closed.items].slice(0, 10) };
    },
    [webhook.id],
    { everyMs: REFRESH_MS },
  );
  useFrames(onFrame, ({ type, data }) => {
    if (/^(alert|anomaly)_/.test(type) && data.webhook_id === webhook.id) load.reload();
  });
  return html`
    <div class="columns">
      <section class="panel" aria-labelledby="its-alerts">
        <header class="panel-head">
          <h2 id="its-alerts">Alerts</h2>
          <a href=${`#/alerts?webhook=${webhook.id}&state=all`}>All alerts</a>
        </header>
        <${Loaded}
          load=${load}
          isEmpty=${(data) => !data.alerts.length}
          empty=${html`<${Empty} title="No alerts" icon="healthy" />`}
        >
          ${({ alerts }) => html`
            <ul class="list">
              ${alerts.map((alert) => html`<${AlertLine} key=${alert.id} alert=${alert} isStated=${true} />`)}
            </ul>
          `}
        <//>
      </section>
      <section class="panel" aria-labelledby="its-anomalies">
        <header class="panel-head">
          <h2 id="its-anomalies">Anomalies</h2>
        </header>
        <${Loaded}
          load=${load}
          isEmpty=${(data) => !data.anomalies.length}
          empty=${html`<${Empty} title="No anomalies" icon="healthy" />`}
        >
          ${({ anomalies }) => html`
            <ul class="list">
              ${anomalies.map((anomaly) => html`
                <${AnomalyLine} key=${anomaly.id} anomaly=${anomaly} now=${now} isNamed=${false} />
              `)}
            </ul>
          `}
        <//>
      </section>
    </div>
  `;
}
