/** Alerts: what waits, one beside the list, and the keys to work through them. */

import { api } from "../api.js";
import { onFrame } from "../board.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { AlertState, Status } from "../components/status.js";
import { ago, capital, plural, precisely } from "../format.js";
import { useFrames, useHeldOrder, useNow, usePages } from "../hooks.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { go, href, route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";
import { openAcknowledge, openResolve } from "./alert-actions.js";
import { AlertDetail } from "./alert-detail.js";
import { AlertStats } from "./alert-stats.js";
import { useCursor } from "./webhooks.js";

const STATES = ["pending", "acknowledged", "resolved", "all"];
const KINDS = [
  "failing",
  "latency",
  "volume",
  "disabling",
  "disabled",
  "quarantined",
  "expired",
  "mass_failure",
];
const MOST_AT_ONCE = 200;

export function Alerts() {
  const { name, id, query } = useStore(route);
  const state = query.state ?? (name === "alert" ? "all" : "pending");
  const filter = { state, severity: query.severity, kind: query.kind, webhook_id: query.webhook };
  const list = useAlerts(filter);
  const [items, handlers] = useHeldOrder(list.items, JSON.stringify(filter));
  const [ticked, setTicked] = useState(new Set());
  const [at, move, put] = useCursor(items);
  const chosen = items.filter((alert) => ticked.has(alert.id) && alert.state === "pending");
  const current = items[at];

  useEffect(() => setTicked(new Set()), [JSON.stringify(filter)]);
  useEffect(() => {
    if (name === "alert") put(items.findIndex((alert) => alert.id === id));
  }, [id, list.isKnown]);
  const show = (alert) => alert && go(`/alerts/${alert.id}`, query);
  const tick = (alert) =>
    setTicked((before) =>
      before.has(alert.id)
        ? new Set([...before].filter((one) => one !== alert.id))
        : new Set([...before, alert.id]),
    );
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: () => show(current),
    o: () => show(current),
    x: () => current && may("operator") && tick(current),
    a: () => {
      const subject = chosen.length ? chosen : [current].filter((alert) => alert?.state === "pending");
      if (subject.length && may("operator")) openAcknowledge(subject.slice(0, MOST_AT_ONCE));
    },
    r: () => current && current.state !== "resolved" && may("operator") && openResolve(current),
    Escape: () => name === "alert" && go("/alerts", query),
  });

  return html`
    <div class="title-row">
      <h1 tabindex="-1">Alerts</h1>
      ${may("operator") && html`
        <a class="button" href="#/silences">
          <${Icon} name="silences" /> Silences
        </a>
      `}
    </div>
    <${AlertStats} />
    <div class="toolbar">
      <nav class="segments" aria-label="State">
        ${STATES.map((one) => html`
          <a
            key=${one}
            href=${href("/alerts", { ...query, state: one })}
            aria-current=${one === state ? "true" : undefined}
          >
            ${capital(one)}
          </a>
        `)}
      </nav>
      <label class="inline">
        Severity${" "}
        <select value=${query.severity ?? ""} onChange=${(event) => setQuery({ severity: event.target.value })}>
          <option value="">any</option>
          ${["critical", "warning", "info"].map((one) => html`
            <option selected=${one === query.severity}>${one}</option>
          `)}
        </select>
      </label>
      <label class="inline">
        Kind${" "}
        <select value=${query.kind ?? ""} onChange=${(event) => setQuery({ kind: event.target.value })}>
          <option value="">any</option>
          ${KINDS.map((one) => html`<option selected=${one === query.kind}>${one}</option>`)}
        </select>
      </label>
      ${query.webhook && html`
        <button type="button" class="small" onClick=${() => setQuery({ webhook: "" })}>
          <${Icon} name="close" size=${11} /> One webhook only
        </button>
      `}
      ${chosen.length > 0 && html`
        <button type="button" class="primary" onClick=${() => openAcknowledge(chosen.slice(0, MOST_AT_ONCE))}>
          Acknowledge ${plural(chosen.length, "alert")}
        </button>
      `}
    </div>
    <div class="split ${name === "alert" ? "has-detail" : ""}">
      <section class="panel" aria-label="List of alerts" ...${handlers}>
        <${Loaded}
          load=${list.load}
          what="Reading alerts"
          lines=${6}
          isEmpty=${() => !items.length}
          empty=${html`<${Empty} title=${state === "pending" ? "No pending alert" : "No matching alert"} icon="healthy">
            ${state === "pending" ? "No action is needed." : "Try another state or severity."}
          <//>`}
        >
          ${() => html`
            <ul class="list alert-list">
              ${items.map((alert, i) => html`
                <${Item}
                  key=${alert.id}
                  alert=${alert}
                  isCurrent=${i === at}
                  isShown=${alert.id === id}
                  isTicked=${ticked.has(alert.id)}
                  onTick=${() => tick(alert)}
                  query=${query}
                />
              `)}
            </ul>
            <${Older} pages=${list}>Older alerts<//>
          `}
        <//>
      </section>
      ${name === "alert" && html`<${AlertDetail} key=${id} id=${id} back=${href("/alerts", query)} />`}
    </div>
  `;
}

function Item({ alert, isCurrent, isShown, isTicked, onTick, query }) {
  const now = useNow(15_000);
  const element = useRef(null);
  useEffect(() => {
    if (isCurrent && !isShown) element.current.scrollIntoView({ block: "nearest" });
  }, [isCurrent]);
  return html`
    <li
      ref=${element}
      class="alert-item ${isCurrent ? "current" : ""} ${isShown ? "shown" : ""}"
      data-alert=${alert.id}
    >
      ${may("operator") && html`
        <input
          type="checkbox"
          aria-label="Select: ${alert.title}"
          checked=${isTicked}
          disabled=${alert.state !== "pending"}
          onChange=${onTick}
        />
      `}
      <${Status} of=${alert.severity} />
      <div class="grow">
        <a class="strong" href=${href(`/alerts/${alert.id}`, query)} aria-current=${isShown ? "true" : undefined}>
          ${alert.title}
        </a>
        <p class="small muted meta">
          <${AlertState} alert=${alert} /> <span>${alert.kind}</span>
          <time datetime=${alert.raised_at} title=${precisely(alert.raised_at)}>
            ${ago(alert.raised_at, now)}
          </time>
          ${alert.count > 1 && html`<span>× ${alert.count}</span>`}
          ${alert.acknowledged_by && html`<span>by ${alert.acknowledged_by}</span>`}
        </p>
      </div>
    </li>
  `;
}

/** The list as the server has it, kept up to date by the feed. */
function useAlerts(filter) {
  const pages = usePages(
    (cursor, signal) => api.alerts({ ...filter, limit: 50, cursor }, signal),
    Object.values(filter),
  );
  const { load } = pages;
  const fits = (alert) =>
    (filter.state === "all" ||
      alert.state === filter.state ||
      (filter.state === "open" && alert.state !== "resolved")) &&
    (!filter.severity || alert.severity === filter.severity) &&
    (!filter.kind || alert.kind === filter.kind) &&
    (!filter.webhook_id || alert.webhook_id === filter.webhook_id);
  const merge = (alert) => load.setData((page) => page && { ...page, items: merged(page.items, alert) });
  useFrames(onFrame, ({ type, data }) => {
    if (type === "alert_new" || type === "alert_updated") merge(data);
    if (type === "snapshot") load.reload();
  });
  return { ...pages, items: unique(pages.items).filter(fits), isKnown: load.data !== null };
}

/** The feed puts what changed on the first page, also what stands on an older one. */
function unique(items) {
  const seen = new Set();
  return items.filter((alert) => !seen.has(alert.id) && seen.add(alert.id));
}

function merged(items, alert) {
  return [...items.filter((one) => one.id !== alert.id), alert].toSorted((a, b) => (a.id < b.id ? 1 : -1));
}
