/** What happens, as it happens: the newest changes that the server has stored, and the figures of now. */

import { api } from "../api.js";
import { board, onFrame } from "../board.js";
import { Figure } from "../components/figure.js";
import { Icon } from "../components/icons.js";
import { Segments } from "../components/segments.js";
import { Empty, Loaded } from "../components/states.js";
import { Status } from "../components/status.js";
import { capital, clock, duration, ms, perSecond, percent, precisely, short } from "../format.js";
import { useFrames, useLoad } from "../hooks.js";
import { html, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
import { ALERT_ACTIONS } from "../words.js";

const KINDS = [
  ["", "All"],
  ["alert", "Alerts"],
  ["anomaly", "Anomalies"],
  ["health", "Health"],
];
/** What ends an alert or an anomaly. */
const OVER = new Set(["closed", "resolved", "recovered"]);
const EVERY_MS = 15_000;
const AFTER_FRAME_MS = 400;

export function Activity() {
  const { query } = useStore(route);
  const kind = query.kind ?? "";
  const load = useLoad((signal) => api.activity({ kind }, signal), [kind], { everyMs: EVERY_MS });
  const [held, setHeld] = useState(null);
  useReloadAfterFrames(load);
  const items = load.data?.items;
  const hold = () => setHeld(held ? null : (items ?? []));
  useKeys({ p: hold });
  const fresh = held ? (items ?? []).filter((one) => one.at > (held[0]?.at ?? "")).length : 0;
  return html`
    <div class="title-row">
      <h1 tabindex="-1">Live activity</h1>
      <button type="button" aria-pressed=${Boolean(held)} onClick=${hold}>
        <${Icon} name=${held ? "right" : "paused"} />${" "}
        ${held ? `Resume${fresh > 0 ? ` (${fresh} new)` : ""}` : "Pause"}
      </button>
    </div>
    <${Now} />
    <section class="panel" aria-labelledby="stream">
      <header class="panel-head">
        <h2 id="stream">Latest changes</h2>
        <${Segments}
          label="Filter"
          value=${kind}
          options=${KINDS}
          onChange=${(value) => (setHeld(null), setQuery({ kind: value }))}
        />
      </header>
      <${Loaded}
        load=${load}
        what="Reading the latest changes"
        lines=${6}
        isEmpty=${(list) => !(held ?? list.items).length}
        empty=${html`<${Empty} title="No changes yet" icon="activity">
          Alerts, anomalies and changes of health appear here.
        <//>`}
      >
        ${(list) => html`
          <ol class="list stream">
            ${(held ?? list.items).map((one) => html`<${Line} key=${keyOf(one)} change=${one} />`)}
          </ol>
        `}
      <//>
    </section>
  `;
}

/** Reads the list again soon after a frame told of a change: many frames at once are one reading. */
function useReloadAfterFrames(load) {
  const waiting = useRef(null);
  useFrames(onFrame, ({ type }) => {
    if (!/^(alert|anomaly|webhook)_/.test(type)) return;
    waiting.current ??= setTimeout(() => {
      waiting.current = null;
      load.reload();
    }, AFTER_FRAME_MS);
  });
}

const keyOf = ({ at, kind, action, alert_id: alert, anomaly_id: anomaly, webhook_id: webhook }) =>
  [at, kind, action, alert ?? anomaly ?? webhook].join(" ");

function Line({ change }) {
  return html`
    <li class="worst-row">
      <time class="mono small muted" datetime=${change.at} title=${precisely(change.at)}>${clock(change.at)}</time>
      <${Status}
        of=${OVER.has(change.action) ? "over" : change.level}
        text=${OVER.has(change.action) ? capital(change.action) : undefined}
      />
      <div class="grow">
        <span class="tag">${capital(change.kind)}</span>${" "}
        <a href=${`#${placeOf(change)}`}>${sentence(change)}</a>
      </div>
    </li>
  `;
}

function placeOf({ alert_id: alert, webhook_id: webhook }) {
  return alert ? `/alerts/${alert}` : `/webhooks/${webhook}`;
}

function sentence({ kind, action, level, text, webhook_name: name }) {
  const webhook = name ?? "A deleted webhook";
  if (kind === "health") return `${webhook} is ${level}: ${text}`;
  return `${capital(ALERT_ACTIONS[action]?.text ?? action)}: ${kind === "anomaly" ? `${webhook}: ` : ""}${text}`;
}

function Now() {
  const overview = useStore(board, (state) => state.overview);
  if (!overview) return null;
  const { throughput, traffic, queue } = overview;
  const figures = [
    ["Throughput, last 5 min", perSecond(throughput?.per_s)],
    ["Success, last hour", percent(traffic.success_ratio)],
    ["p95, last hour", ms(traffic.p95_ms)],
    ["Queued", short(queue.pending)],
    ["Delivery lag", duration(queue.oldest_due_age_s)],
  ];
  return html`
    <dl class="figures-row slim">
      ${figures.map(([name, value]) => html`<${Figure} key=${name} name=${name} value=${value} />`)}
    </dl>
  `;
}
