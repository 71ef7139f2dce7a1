/** All webhooks: search, filter, sort, and a table that stays quick with thousands of rows. */

import { api, readAll } from "../api.js";
import { board, onFrame } from "../board.js";
import { Icon } from "../components/icons.js";
import { Empty, Failed, Loading } from "../components/states.js";
import { Sparkline, Status, standing } from "../components/status.js";
import { VirtualTable } from "../components/virtual.js";
import { count, ms, percent, plural, short } from "../format.js";
import { useFrames, useHeldOrder, useLoad, useSettled } from "../hooks.js";
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { go, route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";

const CAP = 5_000;
const REFRESH_MS = 30_000;
const REFRESH_ROW_MS = 60;
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
const STANDINGS = ["unavailable", "degraded", "throttled", "unknown", "healthy", "paused", "disabled"];

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
      <label class="inline">
        Status${" "}
        <select value=${query.status ?? ""} onChange=${(event) => setQuery({ status: event.target.value })}>
          <option value="">any</option>
          ${STANDINGS.map((one) => html`
            <option value=${one} selected=${one === query.status}>${one}</option>
          `)}
        </select>
      </label>
      <label class="inline">
        Sort${" "}
        <select value=${sort} onChange=${(event) => setQuery({ sort: event.target.value })}>
          ${Object.entries(SORTS).map(([name, [title]]) => html`
            <option value=${name} selected=${name === sort}>${title}</option>
          `)}
        </select>
      </label>
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
        ${" "}
        ·${" "}
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

/** Reads every row page by page. A search is the server's: it sees URLs and descriptions that rows do not hold. */
function useRows(q, label, eventType) {
  const [partial, setPartial] = useState(null);
  const known = useRef(new Map());
  const isSearch = Boolean(q || label || eventType);
  const load = useLoad(
    async (signal) => {
      setPartial(null);
      const read = isSearch
        ? (page) => api.webhooks({ ...page, q, label, event_type: eventType }, signal)
        : (page) => api.healthRows(page, signal);
      const onPage = (rows, isMore) => isMore && setPartial(rows);
      const { rows, isWhole } = await readAll(read, { cap: CAP, signal, onPage });
      setPartial(null);
      return { rows, isCut: !isWhole };
    },
    [q, label, eventType],
    // Changes of health come by the feed; the more rows, the rarer all of them are read again.
    { everyMs: Math.max(REFRESH_MS, known.current.size * REFRESH_ROW_MS) },
  );
  const patch = useCallback(
    (frame) => {
      if (frame.type !== "webhook_status_changed") return;
      const { webhook_id: id, status, reason, at } = frame.data;
      load.setData(
        (data) =>
          data && {
            ...data,
            rows: data.rows.map((row) =>
              row.id === id ? { ...row, health: { ...row.health, status, reason, changed_at: at } } : row,
            ),
          },
      );
    },
    [load.setData],
  );
  useFrames(onFrame, patch);

  const rows = load.data?.rows ?? partial ?? [];
  const whole = useMemo(() => {
    if (!isSearch) rows.forEach((row) => known.current.set(row.id, row));
    // A search answers without sparklines; what was read before fills them in.
    return isSearch ? rows.map((row) => ({ ...seen(known.current, row.id), ...row })) : rows;
  }, [rows]);
  return {
    rows: whole,
    error: load.error,
    isLoading: load.isLoading,
    isMore: load.isLoading && !load.data,
    isCut: load.data?.isCut,
    reload: load.reload,
  };
}

function seen(known, id) {
  const row = known.get(id) ?? board.get().webhooks.find((one) => one.id === id);
  return { sparkline: row?.sparkline ?? null, alerts: row?.alerts ?? 0, anomalies: row?.anomalies ?? 0 };
}

/** A cursor over *rows* that stays on its row when others come and go. */
export function useCursor(rows) {
  const [current, setCurrent] = useState({ id: null, at: -1 });
  const found = rows.findIndex((row) => row.id === current.id);
  // Gone: what came after it takes its place.
  const at = found >= 0 ? found : current.id === null ? -1 : Math.min(current.at, rows.length - 1);
  const move = (step) => {
    const next = Math.min(Math.max(at + step, 0), rows.length - 1);
    if (rows[next]) setCurrent({ id: rows[next].id, at: next });
  };
  const put = (index) => setCurrent({ id: rows[index]?.id ?? null, at: index });
  return [at, move, put];
}
