/** The first look: is anything wrong, where, since when. */

import { api } from "../api.js";
import { board } from "../board.js";
import { FailureChart, LatencyChart, RANGES, fill } from "../charts/series.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded, Loading } from "../components/states.js";
import { Sparkline, Status, standing } from "../components/status.js";
import { ago, count, duration, ms, percent, perSecond, plural, precisely, short } from "../format.js";
import { useLoad, useNow } from "../hooks.js";
import { html, useMemo, useState } from "../html.js";
import { href } from "../router.js";
import { useStore } from "../store.js";
import { AlertLine } from "./alert-line.js";

const SHOWN = 8;
const HEALTH = ["unavailable", "degraded", "throttled", "unknown", "healthy"];

export function Overview() {
  const view = useStore(board);
  if (!view.known)
    return html`
      <h1 tabindex="-1">Overview</h1>
      <${Loading} what="Reading the dashboard" lines=${8} />
    `;
  return html`
    <h1 tabindex="-1">Overview</h1>
    <${Verdict} view=${view} />
    <${Figures} overview=${view.overview} performance=${view.performance} />
    <div class="columns">
      <div class="stacked">
        <${Waiting} alerts=${view.alerts} overview=${view.overview} />
        <${Anomalies} anomalies=${view.anomalies} />
      </div>
      <${Worst} rows=${view.webhooks} />
    </div>
    <${Performance} />
  `;
}

/** One sentence on the whole. */
function Verdict({ view: { overview } }) {
  const { critical, warning } = overview.alerts;
  const { unavailable, degraded } = overview.webhooks;
  const troubled = [
    unavailable && `${count(unavailable)} unavailable`,
    degraded && `${count(degraded)} degraded`,
  ]
    .filter(Boolean)
    .join(", ");
  const tail = troubled ? `; ${troubled}.` : ".";
  if (critical || unavailable)
    return html`
      <${Said} tone="bad" icon="critical">${plural(critical + warning, "alert")} pending${tail}<//>
    `;
  if (warning || degraded)
    return html`
      <${Said} tone="warn" icon="warning">
        ${warning ? `${plural(warning, "alert")} pending` : "No pending alert"}
        ${tail}
      <//>
    `;
  return html`<${Said} tone="ok" icon="healthy">No problems detected.<//>`;
}

function Said({ tone, icon, children }) {
  return html`
    <p class="verdict ${tone}">
      <${Icon} name=${icon} size=${20} />
      <span class="grow">${children}</span>
    </p>
  `;
}

function Figures({ overview, performance }) {
  const { traffic, queue } = overview;
  const before = performance?.previous;
  return html`
    <dl class="figures-row">
      <div class="figure wide">
        <dt>Webhooks</dt>
        <dd>
          <${Health} overview=${overview} />
        </dd>
      </div>
      <${Figure}
        name="Success, last hour"
        value=${percent(traffic.success_ratio)}
        note=${before?.success_ratio != null && `previous hour ${percent(before.success_ratio)}`}
      />
      <${Figure}
        name="Throughput"
        value=${perSecond(traffic.throughput_per_s)}
        note="${short(traffic.attempts)} attempts in the last hour"
      />
      <${Figure}
        name="Latency of successes, p95"
        value=${ms(traffic.p95_ms)}
        note="p50 ${ms(traffic.p50_ms)} · p99 ${ms(traffic.p99_ms)}"
      />
      <${Figure}
        name="Oldest due"
        value=${duration(queue.oldest_due_age_s)}
        tone=${queue.oldest_due_age_s > 300 ? "warn" : ""}
        note="${short(queue.pending)} pending · ${short(queue.in_flight)} in flight"
      />
      <${Figure}
        name="Open anomalies"
        value=${count(overview.anomalies)}
        note="${plural(overview.acknowledged, "alert")} acknowledged"
      />
    </dl>
  `;
}

function Figure({ name, value, note, tone = "" }) {
  return html`
    <div class="figure">
      <dt>${name}</dt>
      <dd>
        <span class="value ${tone}">${value}</span>
        ${note && html`<span class="note">${note}</span>`}
      </dd>
    </div>
  `;
}

function Health({ overview }) {
  const total = HEALTH.reduce((sum, status) => sum + (overview.webhooks[status] ?? 0), 0);
  const held = [
    overview.paused && `${count(overview.paused)} paused`,
    overview.disabled && `${count(overview.disabled)} disabled`,
  ]
    .filter(Boolean)
    .join(" · ");
  return html`
    <div class="health-bar" aria-hidden="true">
      ${HEALTH.filter((status) => overview.webhooks[status]).map((status) => html`
        <i class="tone-${status}" style=${{ flexGrow: overview.webhooks[status] }}></i>
      `)}
    </div>
    <ul class="health-counts">
      ${HEALTH.map((status) => html`
        <li>
          <a href=${href("/webhooks", { status })}>
            <b>${count(overview.webhooks[status] ?? 0)}</b> <${Status} of=${status} text=${status} />
          </a>
        </li>
      `)}
    </ul>
    <span class="note">
      ${plural(total, "webhook")}
      ${held && ` · ${held}`}
    </span>
  `;
}

function Waiting({ alerts, overview }) {
  const total = Object.values(overview.alerts).reduce((sum, n) => sum + n, 0);
  return html`
    <section class="panel" aria-labelledby="waiting">
      <header class="panel-head">
        <h2 id="waiting">Pending alerts</h2>
        <a href="#/alerts">${total > SHOWN ? `All ${count(total)}` : "All alerts"}</a>
      </header>
      ${alerts.length === 0 ? html`
        <${Empty} title="No pending alert" icon="healthy">
          Failures and departures from a webhook's normal appear here.
        <//>
      ` : html`
        <ul class="list">
          ${alerts.slice(0, SHOWN).map((alert) => html`<${AlertLine} key=${alert.id} alert=${alert} />`)}
        </ul>
      `}
    </section>
  `;
}

function Worst({ rows }) {
  const now = useNow();
  return html`
    <section class="panel" aria-labelledby="worst">
      <header class="panel-head">
        <h2 id="worst">Webhooks, worst first</h2>
        <a href="#/webhooks">All webhooks</a>
      </header>
      ${rows.length === 0 ? html`
        <${Empty} title="No webhooks yet" icon="webhooks">
          <a href="#/webhooks/new">Create the first</a> and post an event to it.
        <//>
      ` : html`
        <ul class="list">
          ${rows.slice(0, SHOWN).map((row) => html`
            <li key=${row.id} class="worst-row">
              <${Status} of=${standing(row)} />
              <div class="grow">
                <a class="strong" href=${`#/webhooks/${row.id}`}>${row.name}</a>
                <p class="muted small clip" title=${precisely(row.health.changed_at)}>
                  ${row.health.reason} ${row.health.changed_at && `Since ${ago(row.health.changed_at, now)}.`}
                </p>
              </div>
              <${Sparkline} line=${row.sparkline} />
            </li>
          `)}
        </ul>
      `}
    </section>
  `;
}

function Performance() {
  const [range, setRange] = useState("1h");
  const load = useLoad((signal) => api.performance(range, signal), [range], { everyMs: 15_000 });
  return html`
    <section class="panel" aria-labelledby="performance">
      <header class="panel-head">
        <h2 id="performance">All deliveries</h2>
        <a href="#/jobs">Jobs</a>
        <${RangePicker} value=${range} onChange=${setRange} />
      </header>
      <${Loaded} load=${load} what="Reading performance" lines=${6}>
        ${(view) => html`<${PerformanceCharts} view=${view} />`}
      <//>
    </section>
  `;
}

function PerformanceCharts({ view }) {
  const { x, known } = useMemo(() => {
    const end = Date.parse(view.as_of) / 1_000;
    return fill(view.series, end - view.window_s, end, view.step_s);
  }, [view]);
  return html`
    <div class="charts">
      <${LatencyChart} x=${x} known=${known} />
      <${FailureChart} x=${x} known=${known} />
    </div>
  `;
}

export function RangePicker({ value, onChange, label = "Range" }) {
  return html`
    <div class="segments" role="group" aria-label=${label}>
      ${RANGES.map(([name]) => html`
        <button type="button" key=${name} aria-pressed=${name === value} onClick=${() => onChange(name)}>
          ${name}
        </button>
      `)}
    </div>
  `;
}

function Anomalies({ anomalies }) {
  const now = useNow();
  return html`
    <section class="panel" aria-labelledby="anomalies">
      <header class="panel-head">
        <h2 id="anomalies">Open anomalies</h2>
      </header>
      ${anomalies.length === 0 ? html`
        <${Empty} title="No open anomalies" icon="healthy">
          Every webhook is within its normal range or still learning it.
        <//>
      ` : html`
        <ul class="list">
          ${anomalies.map((anomaly) => html`
            <${AnomalyLine} key=${anomaly.id} anomaly=${anomaly} now=${now} />
          `)}
        </ul>
      `}
    </section>
  `;
}

export function AnomalyLine({ anomaly, now, isNamed = true }) {
  const { evidence } = anomaly;
  return html`
    <li class="worst-row">
      <${Status}
        of=${anomaly.closed_at ? "over" : anomaly.severity}
        text=${anomaly.closed_at ? "Closed" : undefined}
      />
      <div class="grow">
        ${isNamed && html`
          <a class="strong" href=${`#/webhooks/${anomaly.webhook_id}`}>${anomaly.webhook_name}</a>
        `}
        <p class="small">${anomaly.sentence}</p>
        <p class="muted small">
          ${anomaly.signal.replaceAll("_", " ")} · ${plural(evidence.n, "attempt")} in${" "}
          ${duration(evidence.window_s)} · p = ${evidence.p_value.toExponential(1)}
        </p>
      </div>
      <time class="muted small" datetime=${anomaly.opened_at} title=${precisely(anomaly.opened_at)}>
        ${ago(anomaly.opened_at, now)}
      </time>
    </li>
  `;
}
