/** All webhooks: search, filter, sort, select; the server finds them, a table draws those in sight. */

import { FilterSelect } from "../components/filter-select.js";
import { Icon } from "../components/icons.js";
import { Empty, Failed, Loading } from "../components/states.js";
import { WebhookBulk } from "../components/webhook-bulk.js";
import { WebhookExport } from "../components/webhook-export.js";
import { WebhookFilters, isFiltered } from "../components/webhook-filters.js";
import { WebhookTable } from "../components/webhook-table.js";
import { useCursor } from "../cursor.js";
import { plural } from "../format.js";
import { useHeldOrder } from "../hooks.js";
import { html, useRef } from "../html.js";
import { useKeys } from "../keys.js";
import { go, route, setQuery } from "../router.js";
import { useSelection } from "../selection.js";
import { may } from "../session.js";
import { useStore } from "../store.js";
import { DEFAULT_SIZE, SIZES, useWebhookRows } from "../webhook-rows.js";

export function Webhooks() {
  const { query } = useStore(route);
  const field = useRef(null);
  const list = useRef(null);
  const found = useWebhookRows(query);
  const [rows, handlers] = useHeldOrder(found.rows, found.key);
  const [at, move, put] = useCursor(rows);
  const selection = useSelection();
  const open = () => rows[at] && go(`/webhooks/${rows[at].id}`);
  const tick = () => rows[at] && may("operator") && selection.toggle(rows[at]);
  useKeys({
    "/": () => field.current?.focus(),
    j: () => move(1),
    k: () => move(-1),
    Enter: open,
    o: open,
    x: tick,
    " ": (event) => (rows[at] && may("operator") ? tick() : scrollPage(event)),
    n: () => may("admin") && go("/webhooks/new"),
  });
  const toList = () => {
    if (!rows.length) return;
    put(0);
    list.current?.focus({ preventScroll: true });
  };

  return html`
    <div class="title-row">
      <h1 tabindex="-1">Webhooks</h1>
      ${may("admin") && html`
        <a class="button primary" href="#/webhooks/new">
          <${Icon} name="plus" /> New webhook
        </a>
      `}
    </div>
    <${WebhookFilters} query=${query} counts=${found.counts} field=${field} onList=${toList} />
    <div class="webhook-list" ref=${list} tabindex="-1" aria-busy=${!found.isFresh}>
      <${ListHead} found=${found} query=${query} />
      <${WebhookBulk} selection=${selection} onDone=${found.reload} />
      <${Found} ...${{ found, rows, at, handlers, query, selection }} />
    </div>
  `;
}

/** The space bar scrolls, as everywhere, while no row is current. */
function scrollPage(event) {
  scrollBy({ top: (event.shiftKey ? -0.9 : 0.9) * innerHeight });
}

function ListHead({ found, query }) {
  if (found.total === null) return null;
  return html`
    <div class="list-head">
      <p class="muted small" role="status">
        ${isFiltered(query) ? `${plural(found.total, "webhook")} found` : plural(found.total, "webhook")}
      </p>
      ${found.error && found.rows.length > 0 && html`
        <p class="small status warn" role="status">
          <${Icon} name="warning" /> Not fresh: ${found.error.message}${" "}
          <button type="button" class="link" onClick=${found.reload}>Try again</button>
        </p>
      `}
      <span class="grow"></span>
      <${FilterSelect}
        label="Rows a page"
        value=${SIZES.includes(query.size) ? query.size : DEFAULT_SIZE}
        options=${SIZES}
        any=${null}
        onChange=${(size) => setQuery({ size })}
      />
      <${WebhookExport} query=${query} />
    </div>
  `;
}

function Found({ found, rows, at, handlers, query, selection }) {
  if (found.error && !found.rows.length) return html`<${Failed} problem=${found.error} onRetry=${found.reload} />`;
  if (found.total === null) return html`<${Loading} what="Reading webhooks" lines=${10} />`;
  if (!rows.length && isFiltered(query)) {
    return html`
      <${Empty} title="No webhook matches" icon="search">
        <a href="#/webhooks">Clear filters</a>
      <//>
    `;
  }
  if (!rows.length) {
    return html`
      <${Empty} title="No webhooks yet" icon="webhooks">
        ${may("admin") ? html`<a href="#/webhooks/new">Create the first one</a>.` : "An admin can create one."}
      <//>
    `;
  }
  return html`
    <${WebhookTable} ...${{ found, rows, at, handlers, query, selection }} />
    ${found.cursor && html`
      <button type="button" class="block" aria-disabled=${found.isLoading ? "true" : undefined} onClick=${found.more}>
        ${found.isLoading ? "Loading…" : "Load more"}
      </button>
    `}
  `;
}
