/** What happens, as it happens. */

import { board } from "../board.js";
import { Chart } from "../charts/plot.js";
import { Figure } from "../components/figure.js";
import { Icon } from "../components/icons.js";
import { Process } from "../components/process.js";
import { Segments } from "../components/segments.js";
import { Empty } from "../components/states.js";
import { Status } from "../components/status.js";
import { clock, count, duration, ms, perSecond, percent, precisely, short } from "../format.js";
import { html, useMemo, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { link } from "../live.js";
import { may } from "../session.js";
import { useStore } from "../store.js";

const KINDS = [
  ["", "Everything"],
  ["alert", "Alerts"],
  ["anomaly", "Anomalies"],
  ["health", "Health"],
];

export function Activity() {
  const view = useStore(board);
  const { mode } = useStore(link);
  const [held, setHeld] = useState(null);
  const [kind, setKind] = useState("");
  const hold = () => setHeld(held ? null : view.activity);
  useKeys({ p: hold });
  const lines = (held ?? view.activity).filter((entry) => !kind || entry.kind === kind);
  const fresh = held ? view.activity.indexOf(held[0]) : 0;
  return html`
    <div class="title-row">
      <h1 tabindex="-1">Live activity</h1>
      <button type="button" aria-pressed=${Boolean(held)} onClick=${hold}>
        <${Icon} name=${held ? "right" : "paused"} />${" "}
        ${held ? `Continue${fresh > 0 ? ` (${fresh} new)` : ""}` : "Pause"}
      </button>
    </div>
    <${Now} view=${view} />
    <section class="panel" aria-labelledby="stream">
      <header class="panel-head">
        <h2 id="stream">Since this page was opened</h2>
        <${Segments} label="Filter" value=${kind} options=${KINDS} onChange=${setKind} />
      </header>
      ${lines.length === 0 ? html`
        <${Empty} title="Nothing has happened yet" icon="activity">
          ${mode === "live"
            ? "Alerts, anomalies and changes of health appear here."
            : "The live feed is not connected; new activity is not listed."}
        <//>
      ` : html`
        <ol class="list stream">
          ${lines.map((entry) => html`
            <li key=${entry.key} class="worst-row">
              <time class="mono small muted" datetime=${entry.at} title=${precisely(entry.at)}>
                ${clock(entry.at)}
              </time>
              <${Status} of=${entry.level} />
              <a class="grow" href=${`#${entry.to}`}>${entry.text}</a>
            </li>
          `)}
        </ol>
      `}
    </section>
    ${may("operator") && html`<${Process} />`}
  `;
}

function Now({ view: { overview, points } }) {
  const x = useMemo(() => points.map((point) => point.at), [points]);
  const series = useMemo(
    () => [
      {
        label: "pending",
        tone: "accent",
        kind: "area",
        format: count,
        values: points.map((point) => point.pending),
      },
    ],
    [points],
  );
  if (!overview) return null;
  const { traffic, queue } = overview;
  const figures = [
    ["Throughput", perSecond(traffic.throughput_per_s)],
    ["Success", percent(traffic.success_ratio)],
    ["p95", ms(traffic.p95_ms)],
    ["Pending", short(queue.pending)],
    ["Oldest due", duration(queue.oldest_due_age_s)],
    ["Live sockets", count(overview.sockets)],
    ["Cache hits", percent(overview.cache_hit_ratio)],
  ];
  return html`
    <dl class="figures-row slim">
      ${figures.map(([name, value]) => html`<${Figure} key=${name} name=${name} value=${value} />`)}
    </dl>
    ${points.length > 1 && html`
      <section class="panel">
        <${Chart} label="Pending deliveries" x=${x} series=${series} format=${short} height=${130} />
      </section>
    `}
  `;
}
