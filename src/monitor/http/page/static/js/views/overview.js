/** The first look: is anything wrong, where, since when. */

import { api } from "../api.js";
import { board } from "../board.js";
import { FailureChart, LatencyChart, fill, startOf } from "../charts/series.js";
import { AlertLine } from "../components/alert-line.js";
import { AnomalyLine } from "../components/anomaly-line.js";
import { CoverageBar } from "../components/coverage-bar.js";
import { Figures, Verdict } from "../components/health-figures.js";
import { RangePicker } from "../components/range-picker.js";
import { Empty, Loaded, Loading } from "../components/states.js";
import { Sparkline, Status } from "../components/status.js";
import { ago, count, precisely } from "../format.js";
import { useLoad, useNow } from "../hooks.js";
import { html, useMemo, useState } from "../html.js";
import { useStore } from "../store.js";

const SHOWN = 8;

export function Overview() {
  const view = useStore(board);
  if (!view.known)
    return html`
      <h1 tabindex="-1">Overview</h1>
      <${Loading} what="Reading the dashboard" lines=${8} />
    `;
  return html`
    <h1 tabindex="-1">Overview</h1>
    <${CoverageBar} />
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

function Waiting({ alerts, overview }) {
  const total = Object.values(overview.alerts).reduce((sum, n) => sum + n, 0);
  return html`
    <section class="panel" aria-labelledby="waiting">
      <header class="panel-head">
        <h2 id="waiting">Open alerts</h2>
        <a href="#/alerts">${total > SHOWN ? `All ${count(total)}` : "All alerts"}</a>
      </header>
      ${alerts.length === 0 ? html`
        <${Empty} title="No open alerts" icon="healthy">
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
              <${Status} of=${row.status} />
              <div class="grow">
                <a class="strong" href=${`#/webhooks/${row.id}`}>${row.name}</a>
                <p class="muted small clip" title=${precisely(row.health.changed_at)}>
                  ${row.reason} ${row.status === row.health.status && row.health.changed_at && `Since ${ago(row.health.changed_at, now)}.`}
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
        <a href="#/deliveries?state=failed&range=1h">Failed deliveries</a>
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
    // With nothing in the window before, the first attempts are the first of all.
    const from = end - view.window_s;
    const start = view.previous.attempts ? from : startOf(view.series, from, end, view.step_s);
    return fill(view.series, start, end, view.step_s);
  }, [view]);
  return html`
    <div class="charts">
      <${LatencyChart} x=${x} known=${known} group="overview" />
      <${FailureChart} x=${x} known=${known} group="overview" />
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
