/** Alerts: what is open, one beside the list, and the keys to work through them. */

import { useAlerts } from "../alert-pages.js";
import { useQueue } from "../alert-queue.js";
import { openAcknowledge, openResolve } from "../components/alert-actions.js";
import { AlertDetail } from "../components/alert-detail.js";
import { AlertExport } from "../components/alert-export.js";
import { AlertItem } from "../components/alert-item.js";
import { AlertStats } from "../components/alert-stats.js";
import { AlertToolbar } from "../components/alert-toolbar.js";
import { CoverageBar } from "../components/coverage-bar.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { useHeldOrder } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { go, href, route } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";

const MOST_AT_ONCE = 200;
const NONE = {
  pending: ["No open alerts", "No action is needed."],
  all: ["No alerts yet", "Failures and departures from a webhook's normal appear here."],
};

export function Alerts() {
  const { id, query } = useStore(route);
  const state = query.state ?? "pending";
  const filter = { state, severity: query.severity, kind: query.kind, webhook_id: query.webhook };
  const list = useAlerts(filter);
  const [items, handlers] = useHeldOrder(list.items, JSON.stringify(filter));
  const [ticked, setTicked] = useState(new Set());
  const { at, step, show, following } = useQueue({ items, isKnown: list.isKnown, id, query });
  const chosen = items.filter((alert) => ticked.has(alert.id) && alert.state === "pending");
  const current = items[at];

  useEffect(() => setTicked(new Set()), [JSON.stringify(filter)]);
  const tick = (alert) =>
    setTicked((before) =>
      before.has(alert.id)
        ? new Set([...before].filter((one) => one !== alert.id))
        : new Set([...before, alert.id]),
    );
  const acknowledge = (alerts) => alerts.length && openAcknowledge(alerts.slice(0, MOST_AT_ONCE));
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    Enter: () => show(current),
    o: () => show(current),
    x: () => current && may("operator") && tick(current),
    a: () =>
      may("operator") &&
      acknowledge(chosen.length ? chosen : [current].filter((alert) => alert?.state === "pending")),
    r: () => current && current.state !== "resolved" && may("operator") && openResolve(current),
    Escape: () => id !== null && go("/alerts", query),
  });
  const isFiltered = query.severity || query.kind || query.webhook;
  const [none, hint] = (!isFiltered && NONE[state]) || ["No matching alerts", "Try another state or severity."];

  return html`
    <div class="alerts-view ${id === null ? "" : "has-detail"}">
      <div class="title-row">
        <h1 tabindex="-1">Alerts</h1>
        <div class="actions">
          <${AlertExport} filter=${filter} />
          <a class="button" href="#/notifications"><${Icon} name="notifications" /> Notifications</a>
          ${may("operator") && html`<a class="button" href="#/silences"><${Icon} name="silences" /> Silences</a>`}
        </div>
      </div>
      <${CoverageBar} />
      <${AlertStats} />
      <${AlertToolbar} state=${state} query=${query} chosen=${chosen.length} onAcknowledge=${() => acknowledge(chosen)} />
      <div class="split ${id === null ? "" : "has-detail"}">
        <section class="panel alert-list-panel" aria-label="List of alerts" ...${handlers}>
          <${Loaded}
            load=${list.load}
            what="Reading alerts"
            lines=${6}
            isEmpty=${() => !items.length}
            empty=${html`<${Empty} title=${none} icon="healthy">${hint}<//>`}
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
              <${Older} pages=${list}>Load more<//>
            `}
          <//>
        </section>
        ${id !== null && html`
          <${AlertDetail} key=${id} id=${id} back=${href("/alerts", query)} query=${query} following=${following} />
        `}
      </div>
    </div>
  `;
}
