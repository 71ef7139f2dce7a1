/** Deliveries over all webhooks: found by filters, ticked or all that match, and changed together. */

import { api } from "../api.js";
import { openBulk } from "../components/bulk.js";
import { DeliveryFilters } from "../components/delivery-filters.js";
import { DeliveryRow } from "../components/delivery-row.js";
import { Export, members } from "../components/export.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { useCursor } from "../cursor.js";
import { filterOf, saidOf, stateOf } from "../delivery-filter.js";
import { count, plural } from "../format.js";
import { useHeldOrder, useLoad, usePages } from "../hooks.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { href, route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";

const PAGE = 50;
const COLUMNS = members(
  "id",
  "state",
  "webhook_id",
  "webhook_name",
  "event_id",
  "event_type",
  "attempts",
  "last_status_code",
  "last_error",
  "created_at",
  "due_at",
  "finished_at",
  "order_key",
);
/** Of the states in a list, what may be done to all that match. */
const ACTIONS = {
  any: ["retry", "cancel"],
  pending: ["retry", "cancel"],
  failed: ["retry"],
  cancelled: ["retry"],
  quarantined: ["retry"],
  delivered: ["resend"],
};
const VERBS = { retry: "Retry", cancel: "Cancel", resend: "Send again" };

export function Deliveries() {
  const { query } = useStore(route);
  const { open, attempt, delivery, ...conditions } = query;
  const key = JSON.stringify(conditions);
  const focus = useRef(null);
  const [ticked, setTicked] = useState(new Set());
  const pages = usePages(
    (cursor, signal) => api.deliveries({ ...filterOf(conditions), limit: PAGE, cursor }, signal),
    [key],
    // What somebody reads or ticks is left as it is.
    { everyMs: open || ticked.size ? 0 : 10_000 },
  );
  const [items, handlers] = useHeldOrder(pages.items, key);
  const [at, move] = useCursor(items);
  const name = useWebhookName(query.webhook, items);
  useEffect(() => setTicked(new Set()), [key]);
  const tick = ({ id }) => setTicked((before) => new Set(before).symmetricDifference(new Set([id])));
  const toggle = ({ id }) => setQuery({ open: open === id ? "" : id, attempt: "", delivery: "" });
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: () => items[at] && toggle(items[at]),
    o: () => items[at] && toggle(items[at]),
    x: () => items[at] && may("operator") && tick(items[at]),
    Escape: () => setQuery({ open: "", attempt: "", delivery: "" }),
    "/": () => focus.current?.focus(),
  });
  const changed = () => (setTicked(new Set()), pages.load.reload());
  return html`
    <div class="title-row">
      <h1 tabindex="-1">Deliveries</h1>
      <div class="row">
        <a class="button small" href="#/jobs">Jobs</a>
        <${Export}
          name="deliveries"
          columns=${COLUMNS}
          read=${(page, signal) => api.deliveries({ ...filterOf(conditions), ...page }, signal)}
        />
      </div>
    </div>
    <${DeliveryFilters} query=${query} name=${name} focus=${focus} />
    ${may("operator") && html`
      <${BulkBar} query=${conditions} name=${name} pages=${pages} items=${items} ticked=${ticked} onTick=${setTicked}
        onDone=${changed} />
    `}
    <section class="panel" aria-label="List of deliveries" ...${handlers}>
      <${Loaded}
        load=${pages.load}
        what="Reading deliveries"
        lines=${6}
        isEmpty=${() => !items.length && !pages.hasMore}
        empty=${html`<${Empty} title="No matching deliveries" icon="check">
          ${saidOf(query, name)}
          ${stateOf(query) === "failed" && html`<${StillTried} query=${query} />`}
        <//>`}
      >
        ${() => html`
          ${!items.length && html`<p class="muted">None among the newest. Search further back.</p>`}
          <ul class="list">
            ${items.map((delivery, i) => html`
              <${DeliveryRow}
                key=${delivery.id}
                delivery=${delivery}
                isCurrent=${i === at}
                isOpen=${open === delivery.id}
                isTicked=${ticked.has(delivery.id)}
                onTick=${() => tick(delivery)}
                onToggle=${() => toggle(delivery)}
                onChange=${pages.load.reload}
              />
            `)}
          </ul>
          <${Older} pages=${pages}>Load more<//>
        `}
      <//>
    </section>
  `;
}

/** Attempts may have failed without a delivery that has: those are tried again. */
function StillTried({ query }) {
  return html`
    <p>
      Deliveries that will be tried again are${" "}
      <a href=${href("/deliveries", { ...query, state: "pending" })}>pending</a>.
    </p>
  `;
}

function BulkBar({ query, name, pages, items, ticked, onTick, onDone }) {
  const chosen = items.filter((one) => ticked.has(one.id));
  const isAll = items.length > 0 && chosen.length === items.length;
  const start = (action) => {
    if (!chosen.length) return openBulk(action, filterOf(query), saidOf(query, name), onDone);
    return openBulk(action, { ids: chosen.map((one) => one.id) }, `${plural(chosen.length, "delivery", "deliveries")} selected.`, onDone);
  };
  const actions = chosen.length
    ? [...new Set(chosen.flatMap((one) => ACTIONS[one.state] ?? []))]
    : ACTIONS[stateOf(query)];
  if (!items.length && !pages.hasMore) return null;
  const matching = pages.hasMore ? "all matching…" : `${count(items.length)} matching…`;
  return html`
    <div class="toolbar bulk-bar" role="group" aria-label="Selected or matching deliveries">
      <label class="check small">
        <input
          type="checkbox"
          checked=${isAll}
          disabled=${!items.length}
          onChange=${() => onTick(isAll ? new Set() : new Set(items.slice(0, 1_000).map((one) => one.id)))}
        />${" "}
        ${chosen.length ? `${count(chosen.length)} selected` : "Select shown"}
      </label>
      ${actions.map((action) => html`
        <button
          type="button"
          key=${action}
          class="small ${action === "retry" ? "primary" : action === "cancel" ? "danger" : ""}"
          onClick=${() => start(action)}
        >
          ${VERBS[action]} ${chosen.length ? `${count(chosen.length)}…` : matching}
        </button>
      `)}
    </div>
  `;
}

/** The name of the webhook that the list is narrowed to: from a row if there is one. */
function useWebhookName(id, items) {
  const shown = items.find((one) => one.webhook_id === id)?.webhook_name;
  const load = useLoad(async (signal) => (id ? (await api.webhook(id, signal)).data.name : null), [id]);
  return shown ?? load.data;
}
