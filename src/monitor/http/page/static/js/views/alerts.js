/** Alerts: what waits, one beside the list, and the keys to work through them. */

import { useAlerts } from "../alert-pages.js";
import { openAcknowledge, openResolve } from "../components/alert-actions.js";
import { AlertDetail } from "../components/alert-detail.js";
import { AlertItem } from "../components/alert-item.js";
import { AlertStats } from "../components/alert-stats.js";
import { FilterSelect } from "../components/filter-select.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { useCursor } from "../cursor.js";
import { capital, plural } from "../format.js";
import { useHeldOrder } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { go, href, route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";
import { ALERT_KINDS, SEVERITIES } from "../words.js";

const STATES = ["pending", "acknowledged", "resolved", "all"];
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
      <${FilterSelect}
        label="Severity"
        value=${query.severity}
        options=${SEVERITIES}
        onChange=${(severity) => setQuery({ severity })}
      />
      <${FilterSelect}
        label="Kind"
        value=${query.kind}
        options=${ALERT_KINDS}
        onChange=${(kind) => setQuery({ kind })}
      />
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
                <${AlertItem}
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
