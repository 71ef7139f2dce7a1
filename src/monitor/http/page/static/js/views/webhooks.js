/** All webhooks: search, filter, sort, and a table that stays quick with thousands of rows. */

import { FilterSelect } from "../components/filter-select.js";
import { Icon } from "../components/icons.js";
import { Empty, Failed, Loading } from "../components/states.js";
import { Sparkline, Status, standing } from "../components/status.js";
import { VirtualTable } from "../components/virtual.js";
import { useCursor } from "../cursor.js";
import { count, ms, percent, plural, short } from "../format.js";
import { useHeldOrder, useSettled } from "../hooks.js";
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { go, route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";
import { CAP, useRows } from "../webhook-rows.js";
import { STANDINGS } from "../words.js";

const RANK = { unavailable: 0, degraded: 1, throttled: 2, paused: 3, unknown: 4, healthy: 5, disabled: 6 };
const last = (value) => value ?? -1;
const SORTS = {
  worst: [
    "Worst first",
    (a, b) =>
      RANK[standing(a)] - RANK[standing(b)] || b.health.failure_probability - a.health.failure_probability,
  ],
  name: ["Name", (a, b) => a.name.localeCompare(b.name)],
  newest: ["Newest first", (a, b) => (a.id < b.id ? 1 : -1)],
  busiest: ["Most attempts", (a, b) => b.last_hour.attempts - a.last_hour.attempts],
  success: ["Lowest success", (a, b) => (a.last_hour.success_ratio ?? 2) - (b.last_hour.success_ratio ?? 2)],
  slowest: ["Slowest", (a, b) => last(b.last_hour.p95_ms) - last(a.last_hour.p95_ms)],
};

export function Webhooks() {
  const { query } = useStore(route);
  const [text, setText] = useState(query.q ?? "");
  const settled = useSettled(text);
  const field = useRef(null);
  useEffect(() => {
    if ((route.get().query.q ?? "") !== settled) setQuery({ q: settled });
  }, [settled]);

  const found = useRows(query.q ?? "", query.label ?? "", query.type ?? "");
  const sort = SORTS[query.sort] ? query.sort : "worst";
  const wanted = useMemo(
    () => found.rows.filter((row) => !query.status || standing(row) === query.status).toSorted(SORTS[sort][1]),
    [found.rows, query.status, sort],
  );
  const [rows, handlers] = useHeldOrder(wanted, JSON.stringify(query));
  const [at, move] = useCursor(rows);
  useKeys({
    "/": () => field.current?.focus(),
    j: () => move(1),
    k: () => move(-1),
    Enter: () => rows[at] && go(`/webhooks/${rows[at].id}`),
    o: () => rows[at] && go(`/webhooks/${rows[at].id}`),
    n: () => may("admin") && go("/webhooks/new"),
  });

  return html`
    <div class="title-row">
      <h1 tabindex="-1">Webhooks</h1>
      ${may("admin") && html`
        <a class="button primary" href="#/webhooks/new">
          <${Icon} name="plus" /> New webhook
        </a>
      `}
    </div>
    <form class="toolbar" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label class="search">
        <span class="visually-hidden">Search name, URL or description</span>
        <${Icon} name="search" />
        <input
          ref=${field}
          type="search"
          value=${text}
          placeholder="Search name, URL, description   /"
          onInput=${(event) => setText(event.target.value)}
        />
      </label>
      <${FilterSelect}
        label="Status"
        value=${query.status}
        options=${STANDINGS}
        onChange=${(status) => setQuery({ status })}
      />
      <${FilterSelect}
        label="Sort"
        value=${sort}
        options=${Object.entries(SORTS).map(([name, [title]]) => [name, title])}
        any=${null}
        onChange=${(name) => setQuery({ sort: name })}
      />
      <label class="inline">
        Label${" "}
        <input
          class="short"
          placeholder="name=value"
          value=${query.label ?? ""}
          onChange=${(event) => setQuery({ label: event.target.value.trim() })}
        />
      </label>
      <label class="inline">
        Event type${" "}
        <input
          class="short"
          placeholder="order.paid"
          value=${query.type ?? ""}
          onChange=${(event) => setQuery({ type: event.target.value.trim() })}
        />
      </label>
    </form>
    <${Found} found=${found} rows=${rows} at=${at} handlers=${handlers} query=${query} />
  `;
}

function Found({ found, rows, at, handlers, query }) {
  if (found.error && !found.rows.length) return html`<${Failed} problem=${found.error} onRetry=${found.reload} />`;
  if (found.isLoading && !found.rows.length) return html`<${Loading} what="Reading webhooks" lines=${10} />`;
  const isFiltered = query.q || query.status || query.label || query.type;
  if (!rows.length) {
    return isFiltered ? html`
      <${Empty} title="No webhook matches" icon="search">
        <a href="#/webhooks">Show all webhooks</a>
      <//>
    ` : html`
      <${Empty} title="No webhooks yet" icon="webhooks">
        ${may("admin") ? html`<a href="#/webhooks/new">Create the first one</a>.` : (
          "An admin can create one."
        )}
      <//>
    `;
  }
  const head = html`
    <th scope="col">Status</th>
    <th scope="col">Webhook</th>
    <th scope="col">Last hour</th>
    <th scope="col" class="num">Attempts</th>
    <th scope="col" class="num">Success</th>
    <th scope="col" class="num">p95</th>
    <th scope="col" class="num">Alerts</th>
  `;
  return html`
    <p class="muted small" role="status">
      ${plural(rows.length, "webhook")}
      ${found.isMore ? ", reading more…" : ""}
      ${found.isCut ? `; only the first ${count(CAP)} are read, search to narrow it` : ""}
      ${found.error && html`
        ${" · "}
        <span class="status warn">
          <${Icon} name="warning" /> not fresh: ${found.error.message}
        </span>
      `}
    </p>
    <${VirtualTable} rows=${rows} head=${head} label="Webhooks" row=${Row} at=${at} handlers=${handlers} />
  `;
}

function Row(row) {
  const hour = row.last_hour;
  return html`
    <td class="cell-status">
      <${Status} of=${standing(row)} />
    </td>
    <td class="cell-main">
      <a class="strong" href=${`#/webhooks/${row.id}`}>${row.name}</a>
      <p class="muted small clip">${row.health.reason}</p>
    </td>
    <td class="cell-spark">
      <${Sparkline} line=${row.sparkline} />
    </td>
    <td class="num" data-label="attempts">${short(hour.attempts)}</td>
    <td class="num" data-label="success">${percent(hour.success_ratio)}</td>
    <td class="num" data-label="p95">${ms(hour.p95_ms)}</td>
    <td class="num" data-label="alerts">
      ${row.alerts ? html`
        <a href=${`#/alerts?webhook=${row.id}&state=open`} aria-label=${plural(row.alerts, "open alert")}>
          ${row.alerts}
        </a>
      ` : (
        ""
      )}
    </td>
  `;
}
