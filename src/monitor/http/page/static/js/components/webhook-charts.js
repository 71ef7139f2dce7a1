/** How a webhook does against its own normal. */

import { api } from "../api.js";
import { FailureChart, LatencyChart, fill } from "../charts/series.js";
import { count, ms, percent, plural } from "../format.js";
import { useLoad } from "../hooks.js";
import { html, useMemo } from "../html.js";
import { rangeOf } from "../ranges.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
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
        ${" · errors "}
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
  /** @type {Record<string, {from: number, to: number}[]>} */
  const spans = { latency: [], failures: [] };
  for (const { signal, opened_at: opened, closed_at: closed } of anomalies) {
    const span = { from: Date.parse(opened) / 1_000, to: closed ? Date.parse(closed) / 1_000 : Infinity };
    spans[OF_LATENCY.has(signal) ? "latency" : "failures"].push(span);
  }
  return spans;
}
