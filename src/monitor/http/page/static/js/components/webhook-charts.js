/** How a webhook does against its own normal. */

import { api } from "../api.js";
import { MARKS } from "../charts/marks.js";
import { FailureChart, LatencyChart, fill, startOf } from "../charts/series.js";
import { at, count, ms, percent, plural } from "../format.js";
import { useLoad } from "../hooks.js";
import { html, useMemo } from "../html.js";
import { rangeOf } from "../ranges.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
import { kindOfError } from "../verdict.js";
import { Changes } from "./changes.js";
import { CustomRange } from "./custom-range.js";
import { RangePicker } from "./range-picker.js";
import { Empty, Loaded } from "./states.js";

const REFRESH_MS = 15_000;

export function Charts({ webhook }) {
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
      const { from, to } = times;
      const [metrics, open, closed, changes] = await Promise.all([
        api.metrics(webhook.id, times, signal),
        api.anomalies({ webhook_id: webhook.id, limit: 50 }, signal),
        api.anomalies({ webhook_id: webhook.id, state: "closed", limit: 50 }, signal),
        api.annotations(webhook.id, { from, to }, signal),
      ]);
      return { metrics, anomalies: [...open.items, ...closed.items], changes };
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
          ${query.from && html`
            <button type="button" class="small" onClick=${() => setQuery({ range: "1h", from: "", to: "" })}>
              Back to last hour
            </button>
          `}
          <${CustomRange} key=${`${query.from} ${query.to}`} query=${query} />
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
        ${(data) => html`<${Series} ...${data} webhook=${webhook} isMoving=${shown.isMoving} />`}
      <//>
    </section>
  `;
}

function Series({ metrics, anomalies, changes, webhook, isMoving }) {
  const { normal } = webhook;
  const { x, known, isLate } = useMemo(() => {
    const [fromS, toS] = [metrics.from_at, metrics.to_at].map((time) => Date.parse(time) / 1_000);
    const isNew = isMoving && Date.parse(webhook.created_at) / 1_000 > fromS;
    const startS = isNew ? startOf(metrics.points, fromS, toS, metrics.step_s) : fromS;
    return { ...fill(metrics.points, startS, toS, metrics.step_s), isLate: startS > fromS };
  }, [metrics, isMoving]);
  const marks = useMemo(
    () => changes.items.map((one) => ({ at: Date.parse(one.at) / 1_000, letter: MARKS[one.kind]?.[0] ?? "?" })),
    [changes],
  );
  const spans = useMemo(() => spansOf(anomalies), [anomalies]);
  const shared = { x, known, normal, marks, group: webhook.id, onZoom: zoomTo };
  const { total } = metrics;
  const errors = Object.entries(total.errors)
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, 6);
  return html`
    <p class="totals">
      ${plural(total.attempts, "attempt")} · <b>${percent(total.success_ratio)}</b> succeeded · p50${" "}
      ${ms(total.p50_ms)} · p95 ${ms(total.p95_ms)} · p99 ${ms(total.p99_ms)}
      ${errors.length > 0 && html`
        ${" · errors "}
        ${errors.map(([label, n]) => html`
          <span class="tag">
            ${kindOfError(label)} × ${count(n)}
          </span>${" "}
        `)}
      `}
    </p>
    ${isLate && html`<p class="small muted">Starts with the first attempts, ${at(metrics.points[0].at)}.</p>`}
    <div class="charts">
      <${LatencyChart} ...${shared} spans=${spans.latency} />
      <${FailureChart} ...${shared} spans=${spans.failures} />
    </div>
    <${Changes} changes=${changes} />
  `;
}

/** Whole minutes, one at least. */
function zoomTo(fromS, toS) {
  const from = Math.floor(fromS / 60) * 60;
  const to = Math.max(Math.ceil(toS / 60) * 60, from + 60);
  const [start, end] = [from, to].map((seconds) => new Date(seconds * 1_000).toISOString());
  setQuery({ from: start, to: end, range: "custom" });
}

const OF_LATENCY = new Set(["latency", "latency_tail"]);

function spansOf(anomalies) {
  /** @type {Record<string, {from: number, to: number}[]>} */
  const spans = { latency: [], failures: [] };
  for (const { signal, opened_at: opened, closed_at: closed } of anomalies) {
    const span = { from: Date.parse(opened) / 1_000, to: closed ? Date.parse(closed) / 1_000 : Infinity };
    spans[OF_LATENCY.has(signal) ? "latency" : "failures"].push(span);
  }
  return spans;
}
