/** Events with their outcome: found by type, id, label, key, payload and time. */

import { api } from "../api.js";
import { EventRow } from "../components/event-row.js";
import { Export, members } from "../components/export.js";
import { FilterSelect } from "../components/filter-select.js";
import { Icon } from "../components/icons.js";
import { PostEvent } from "../components/post-event.js";
import { SettledSearch } from "../components/settled-search.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { TimeRange, spanOf } from "../components/time-range.js";
import { useCursor } from "../cursor.js";
import { plural } from "../format.js";
import { useHeldOrder, usePages } from "../hooks.js";
import { html, useRef } from "../html.js";
import { useKeys } from "../keys.js";
import { go, route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";
import { DELIVERY_STATES } from "../words.js";

const PAGE = 30;
const RANGE = "24h";
/** Events that the server looks at for a page, where it looks into each. */
const LOOKED_AT = 1_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const COLUMNS = [
  ...members("id", "type", "created_at", "occurred_at", "order_key", "labels", "fan_out"),
  ...DELIVERY_STATES.map((state) => [state, (row) => row.deliveries[state]]),
  ["counts_complete", (row) => row.deliveries.complete],
];

export function Events() {
  const { query } = useStore(route);
  const isPosting = query.post === "1" && may("admin");
  return html`
    <div class="title-row">
      <h1 tabindex="-1">Events</h1>
      <div class="row">
        ${may("admin") && html`
          <button
            type="button"
            class="small"
            aria-expanded=${isPosting ? "true" : "false"}
            onClick=${() => setQuery({ post: isPosting ? "" : "1" })}
          >
            <${Icon} name="events" size=${13} /> Post a test event
          </button>
        `}
        <${Export}
          name="events"
          columns=${COLUMNS}
          read=${(page, signal) => api.events({ ...filterOf(query), ...page }, signal)}
        />
      </div>
    </div>
    ${isPosting && html`<${PostEvent} />`}
    <${List} query=${query} />
  `;
}

function filterOf(query) {
  const { type, id, label, state, q, key: order_key } = query;
  return { type, id, label, state, q, order_key, ...(id ? {} : spanOf(query, RANGE)) };
}

function List({ query }) {
  const { post, ...conditions } = query;
  const key = JSON.stringify(conditions);
  const field = useRef(null);
  const pages = usePages(
    (cursor, signal) => api.events({ ...filterOf(conditions), limit: PAGE, cursor }, signal),
    [key],
    { everyMs: 10_000 },
  );
  const [items, handlers] = useHeldOrder(pages.items, key);
  const [at, move] = useCursor(items);
  const open = () => items[at] && go(`/events/${items[at].id}`);
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: open,
    o: open,
    "/": () => field.current?.focus(),
  });
  return html`
    <${Filters} query=${query} field=${field} />
    <section class="panel" aria-label="List of events" ...${handlers}>
      <${Loaded}
        load=${pages.load}
        what="Reading events"
        lines=${6}
        isEmpty=${() => !items.length && !pages.hasMore}
        empty=${html`<${Empty} title="No matching events" icon="events">
          Producers post them to /api/v1/events. Try a longer time range.
        <//>`}
      >
        ${() => html`
          <ul class="list">
            ${items.map((event, i) => html`<${EventRow} key=${event.id} event=${event} isCurrent=${i === at} />`)}
          </ul>
          ${pages.hasMore && looksInto(query) && html`
            <p class="small muted">
              ${plural(items.length, "match", "matches")} so far. Each page looks at ${LOOKED_AT} events.
            </p>
          `}
          <${Older} pages=${pages}>${looksInto(query) ? "Search further back" : "Load more"}<//>
        `}
      <//>
    </section>
  `;
}

const looksInto = ({ q, state }) => Boolean(q || state);

function Filters({ query, field }) {
  const search = (name, label, placeholder, more = {}) =>
    html`<${SettledSearch} name=${name} label=${label} placeholder=${placeholder} query=${query} ...${more} />`;
  return html`
    <div class="toolbar" role="search" aria-label="Filter events">
      <${FilterSelect}
        label="Outcome"
        value=${query.state}
        options=${DELIVERY_STATES.map((state) => [state, `has ${state}`])}
        onChange=${(state) => setQuery({ state })}
      />
      ${search("type", "Event type, or a prefix such as order.*", "type or order.*", { field })}
      ${search("q", "Text in the payload, as posted", "text in payload")}
      ${search("id", "Event id", "event id", { pattern: UUID })}
      ${search("label", "Label: a name, or name=value", "label or name=value")}
      ${search("key", "Order key", "order key")}
      <${TimeRange} query=${query} otherwise=${RANGE} />
    </div>
    ${query.q && html`
      <p class="small muted">
        Payloads are searched as they were posted: same case, same escapes. Those over 64 KiB are left out.
      </p>
    `}
  `;
}
