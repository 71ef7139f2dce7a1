/** What Monitor runs on: its queue, its processes, its database, Redis and cache, and what it keeps. */

import { api } from "../api.js";
import { board } from "../board.js";
import { Chart } from "../charts/plot.js";
import { CachedViews, Feeds } from "../components/process.js";
import { Figure } from "../components/figure.js";
import { Loaded } from "../components/states.js";
import { Database, Process, Replica, Retention } from "../components/system-panels.js";
import { bytes, count, duration, percent, plural, short } from "../format.js";
import { useLoad } from "../hooks.js";
import { html, useMemo } from "../html.js";
import { useStore } from "../store.js";

const EVERY_MS = 10_000;

export function System() {
  const load = useLoad((signal) => api.stats(signal), [], { everyMs: EVERY_MS });
  return html`
    <h1 tabindex="-1">System</h1>
    <${Queue} />
    <${Loaded} load=${load} what="Reading the state of the system" lines=${8}>
      ${(stats) => html`
        <div class="columns">
          <div class="stacked">
            <${Database} database=${stats.database} />
            ${stats.replica && html`<${Replica} replica=${stats.replica} />`}
            <${Process} stats=${stats} />
          </div>
          <${Retention} days=${stats.retention_d} />
        </div>
        <${Feeds} stats=${stats} />
        <${Cache} stats=${stats} />
      `}
    <//>
    <p class="muted small">
      The page needs Chrome or Edge 122, Firefox 127, Safari 17.4, or later.
    </p>
  `;
}

function Queue() {
  const { overview, points } = useStore(board);
  const x = useMemo(() => points.map((point) => point.at), [points]);
  const series = useMemo(
    () => [
      { label: "queued", tone: "accent", kind: "area", format: count, values: points.map((point) => point.pending) },
    ],
    [points],
  );
  if (!overview) return null;
  const { queue } = overview;
  const figures = [
    ["Queued", short(queue.pending)],
    ["In flight", count(queue.in_flight)],
    ["Delivery lag", duration(queue.oldest_due_age_s)],
    ["Oldest in flight", duration(queue.oldest_lease_age_s)],
    ["Fan-outs", count(queue.fan_outs)],
  ];
  return html`
    <section class="panel" aria-labelledby="queue">
      <header class="panel-head">
        <h2 id="queue">Queue</h2>
        <a href="#/jobs">Jobs</a>
      </header>
      <dl class="figures-row slim">
        ${figures.map(([name, value]) => html`<${Figure} key=${name} name=${name} value=${value} />`)}
      </dl>
      ${points.length > 1 && html`
        <${Chart} label="Queued deliveries" x=${x} series=${series} format=${whole} height=${130} />
      `}
    </section>
  `;
}

/** Between two whole numbers nothing is marked. */
const whole = (value) => (Number.isInteger(value ?? 0) ? short(value) : "");

function Cache({ stats: { cache, views } }) {
  const reads = views.reduce((sum, view) => sum + view.reads, 0);
  const hits = views.reduce((sum, view) => sum + view.reads * (view.hit_ratio ?? 0), 0);
  return html`
    <section class="panel" aria-labelledby="cache">
      <header class="panel-head">
        <h2 id="cache">Cache</h2>
        <p class="small muted">
          ${reads ? `${percent(hits / reads)} of ${plural(reads, "read")} · ` : ""}${plural(cache.entries, "entry", "entries")},
          ${" "}${bytes(cache.bytes)} in memory
          ${cache.pending_invalidations > 0 && ` · ${plural(cache.pending_invalidations, "invalidation")} waiting for Redis`}
        </p>
      </header>
      <${CachedViews} views=${views} />
    </section>
  `;
}
