/** The table of webhooks: heads that sort, rows that open by click, boxes to tick. */

import { ago, ms, percent, plural, short } from "../format.js";
import { useNow } from "../hooks.js";
import { html } from "../html.js";
import { go, href, setQuery } from "../router.js";
import { may } from "../session.js";
import { Sparkline, Status } from "./status.js";
import { VirtualTable } from "./virtual.js";

/** Rows before the end of those that are read at which the next page is asked for. */
const AHEAD_ROWS = 20;
const CAP = 10_000;

/** By sort: whether it begins with the largest. */
const DESCENDS = { worst: true, name: false, traffic: true, failures: true, latency: true, waiting: true };
const OWN = "a, button, input, label";

export function WebhookTable({ found, rows, at, handlers, query, selection }) {
  const now = useNow();
  const canTick = may("operator");
  const onWindow = (first, last) => {
    found.watch(rows.slice(first, last).map((row) => row.id));
    if (last + AHEAD_ROWS >= rows.length) found.more();
  };
  const head = html`
    ${canTick && html`<${TickAll} rows=${rows} selection=${selection} />`}
    <${Head} sort="worst" query=${query}>Status<//>
    <${Head} sort="name" query=${query}>Webhook<//>
    <th scope="col" class="col-why">Reason and labels</th>
    <${Head} sort="traffic" query=${query} of="col-spark">Last hour<//>
    <${Head} sort="failures" query=${query} of="num">Success<//>
    <${Head} sort="latency" query=${query} of="num">p95<//>
    <${Head} sort="waiting" query=${query} of="num">Queued<//>
    <th scope="col" class="num">Last attempt</th>
  `;
  const draw = (row) => html`
    ${canTick && html`<${Tick} row=${row} selection=${selection} />`}
    <${Cells} row=${row} now=${now} />
  `;
  return html`
    <${VirtualTable}
      ...${{ rows, head, at, handlers, onWindow, row: draw, rowHandlers: opening }}
      total=${found.total}
      label="Webhooks"
    />
  `;
}

/** A click opens the webhook; with Ctrl, ⌘ or the middle button in a new tab, as links do. */
function opening(row) {
  const to = `/webhooks/${row.id}`;
  const isOwn = (event) => event.target.closest(OWN) || getSelection()?.toString();
  return {
    onClick: (event) => {
      if (isOwn(event)) return;
      if (event.ctrlKey || event.metaKey) open(href(to), "_blank", "noopener");
      else go(to);
    },
    onAuxClick: (event) => {
      if (event.button === 1 && !isOwn(event)) open(href(to), "_blank", "noopener");
    },
  };
}

function Head({ sort, query, of = "", children }) {
  const isSorted = (query.sort ?? "worst") === sort;
  const isReversed = isSorted && Boolean(query.reverse);
  const descends = DESCENDS[sort] !== isReversed;
  const turn = () => setQuery({ sort, reverse: isSorted && !isReversed ? "1" : "" });
  const order = isSorted ? (descends ? "descending" : "ascending") : undefined;
  return html`
    <th scope="col" class=${of} aria-sort=${order}>
      <button type="button" class="sort" onClick=${turn}>
        ${children}
        <span aria-hidden="true">${isSorted ? (descends ? "▾" : "▴") : ""}</span>
      </button>
    </th>
  `;
}

function TickAll({ rows, selection }) {
  const isAll = rows.every(selection.has);
  return html`
    <th scope="col" class="col-tick">
      <input
        type="checkbox"
        aria-label="Select the ${plural(rows.length, "row")} that are loaded"
        checked=${isAll}
        onChange=${() => selection.setAll(rows, !isAll)}
      />
    </th>
  `;
}

function Tick({ row, selection }) {
  return html`
    <td class="cell-tick">
      <label>
        <input
          type="checkbox"
          aria-label="Select ${row.name}"
          checked=${selection.has(row)}
          onChange=${() => selection.toggle(row)}
        />
      </label>
    </td>
  `;
}

function Cells({ row, now }) {
  const { attempts, success_ratio: success, p95_ms: p95 } = row.last_hour;
  const labels = Object.entries(row.labels);
  return html`
    <td class="cell-status"><${Status} of=${row.status} /></td>
    <td class="cell-main">
      <a class="strong clip" href=${`#/webhooks/${row.id}`}>${row.name}</a>
      <p class="mono small muted clip" title=${row.url}>${row.url}</p>
    </td>
    <td class="cell-why">
      <p class="small clip" title=${row.reason}>${row.reason}</p>
      <p class="small clip">
        ${row.alerts > 0 && html`
          <a href=${href("/alerts", { webhook: row.id, state: "open" })}>${plural(row.alerts, "open alert")}</a>${" "}
        `}
        ${labels.map(([name, value]) => html`<span key=${name} class="tag">${name}=${value}</span>${" "}`)}
      </p>
    </td>
    <td class="cell-spark">
      <${Sparkline} line=${row.sparkline} />
      <span class="small muted">${plural(attempts, "attempt")}</span>
    </td>
    <td class="num" data-label="success">${percent(success)}</td>
    <td class="num" data-label="p95">${ms(p95)}</td>
    <td class="num" data-label="queued">${short(row.waiting)}${row.waiting >= CAP ? "+" : ""}</td>
    <td class="num" data-label="last">${row.last_attempt_at ? ago(row.last_attempt_at, now) : "never"}</td>
  `;
}
