/** The whole at a glance: one sentence, and the figures behind it. */

import { count, duration, ms, perSecond, percent, plural, short } from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { STANDINGS } from "../words.js";
import { Figure } from "./figure.js";
import { Icon } from "./icons.js";
import { Status } from "./status.js";

/** Shown also when there are none. */
const USUAL = ["unavailable", "degraded", "throttled", "unknown", "healthy"];

/** One sentence on the whole. */
export function Verdict({ view: { overview } }) {
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
      <${Said} tone="bad" icon="critical">${plural(critical + warning, "open alert")}${tail}<//>
    `;
  if (warning || degraded)
    return html`
      <${Said} tone="warn" icon="warning">
        ${warning ? plural(warning, "open alert") : "No open alerts"}
        ${tail}
      <//>
    `;
  return html`<${Said} tone="ok" icon="healthy">All clear.<//>`;
}

function Said({ tone, icon, children }) {
  return html`
    <p class="verdict ${tone}">
      <${Icon} name=${icon} size=${20} />
      <span class="grow">${children}</span>
    </p>
  `;
}

export function Figures({ overview, performance }) {
  const { throughput, traffic, queue } = overview;
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
        note=${html`
          <a href=${href("/deliveries", { state: "failed", range: "1h" })}>Failed deliveries</a>
          ${before?.success_ratio != null && ` · previous hour ${percent(before.success_ratio)}`}
        `}
      />
      <${Figure}
        name="Throughput, last 5 min"
        value=${perSecond(throughput?.per_s)}
        note="${short(traffic.attempts)} attempts in the last hour"
      />
      <${Figure}
        name="Latency of successes, p95"
        value=${ms(traffic.p95_ms)}
        note="p50 ${ms(traffic.p50_ms)} · p99 ${ms(traffic.p99_ms)}"
      />
      <${Figure}
        name="Delivery lag"
        value=${duration(queue.oldest_due_age_s)}
        tone=${queue.oldest_due_age_s > 300 ? "warn" : ""}
        note="${short(queue.pending)} queued · ${short(queue.in_flight)} in flight"
      />
      <${Figure}
        name="Open anomalies"
        value=${count(overview.anomalies)}
        note="${plural(overview.acknowledged, "alert")} acknowledged"
      />
    </dl>
  `;
}

function Health({ overview }) {
  const counts = overview.webhooks;
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const shown = STANDINGS.filter((status) => counts[status] || USUAL.includes(status));
  return html`
    <div class="health-bar" aria-hidden="true">
      ${shown.filter((status) => counts[status]).map((status) => html`
        <i key=${status} class="tone-${status}" style=${{ flexGrow: counts[status] }}></i>
      `)}
    </div>
    <ul class="health-counts">
      ${shown.map((status) => html`
        <li key=${status}>
          <a href=${href("/webhooks", { status })}>
            <b>${count(counts[status] ?? 0)}</b> <${Status} of=${status} text=${status} />
          </a>
        </li>
      `)}
    </ul>
    <span class="note">${plural(total, "webhook")}</span>
  `;
}
