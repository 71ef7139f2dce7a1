/** The deliveries of an event, followed until each has come to an end. */

import { api } from "../api.js";
import { useLoad } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
import { Delivery } from "./delivery.js";
import { RUNNING } from "./outcome.js";
import { Empty, Loaded } from "./states.js";

const FOLLOW_MS = 1_000;
const CALM_MS = 15_000;
const LOOKED_AT = 20;

/**
 * Follows closely while something may still happen soon.
 *
 * @param {{eventId: string, isRunning?: boolean, again?: number, onChange?: () => void}} props `isRunning` while
 *   workers make them; `again` changes when they were sent again; `onChange` is called after each list that says
 *   something else than the one before: what is counted elsewhere is older than it
 */
export function Deliveries({ eventId, isRunning = false, again = 0, onChange }) {
  const [isMoving, setMoving] = useState(true);
  const { query } = useStore(route);
  const load = useLoad((signal) => api.deliveries({ event_id: eventId, limit: 200 }, signal), [eventId], {
    everyMs: isMoving || isRunning ? FOLLOW_MS : CALM_MS,
  });
  const items = load.data?.items;
  const found = useLoad(
    async (signal) => (query.attempt && !query.delivery && items ? deliveryOf(query.attempt, items, signal) : null),
    [query.attempt, query.delivery, Boolean(items)],
  );
  const open = query.delivery ?? found.data;
  useEffect(() => {
    if (items)
      setMoving(
        items.some(
          (one) => one.state === "pending" && (one.in_flight || Date.parse(one.due_at) < Date.now() + 30_000),
        ),
      );
  }, [items]);
  useEffect(() => {
    if (again) load.reload();
  }, [again]);
  const said = items?.map((one) => `${one.id} ${one.state} ${one.attempts}`).join();
  useEffect(() => {
    if (said !== undefined) onChange?.();
  }, [said]);
  return html`
    <${Loaded}
      load=${load}
      what="Reading deliveries"
      lines=${2}
      isEmpty=${(page) => !page.items.length}
      empty=${isRunning ? html`<${Empty} title=${RUNNING} icon="webhooks">Workers are making the deliveries.<//>` : html`
        <${Empty} title="No deliveries" icon="webhooks">No webhook subscribes to this type with these labels.<//>
      `}
    >
      ${(page) => html`
        <ul class="list">
          ${page.items.map((one) => html`
            <${Delivery}
              key=${one.id}
              delivery=${one}
              isOpen=${open === one.id}
              onToggle=${() => setQuery({ delivery: open === one.id ? "" : one.id, attempt: "" })}
              onChange=${load.reload}
            />
          `)}
        </ul>
      `}
    <//>
  `;
}

/** Finds the delivery of an attempt among the first ones: a link may name the attempt alone. */
async function deliveryOf(attemptId, deliveries, signal) {
  for (const { id } of deliveries.slice(0, LOOKED_AT)) {
    const { attempt_log: log } = await api.delivery(id, signal);
    if (log.some((attempt) => attempt.id === attemptId)) return id;
  }
  return null;
}
