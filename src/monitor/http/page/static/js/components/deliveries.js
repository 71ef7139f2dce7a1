/** The deliveries of an event, followed until each has come to an end. */

import { api } from "../api.js";
import { useLoad } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { Delivery } from "./delivery.js";
import { Empty, Loaded } from "./states.js";

const FOLLOW_MS = 1_000;
const CALM_MS = 15_000;

/**
 * Follows closely while something may still happen soon.
 *
 * @param {{eventId: string, again?: number, onChange?: () => void}} props `again` changes when they were sent again;
 *   `onChange` is called after each list that says something else than the one before: what is counted elsewhere is
 *   older than it
 */
export function Deliveries({ eventId, again = 0, onChange }) {
  const [isMoving, setMoving] = useState(true);
  const [open, setOpen] = useState(null);
  const load = useLoad((signal) => api.deliveries({ event_id: eventId, limit: 200 }, signal), [eventId], {
    everyMs: isMoving ? FOLLOW_MS : CALM_MS,
  });
  const items = load.data?.items;
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
      empty=${html`<${Empty} title="No deliveries" icon="webhooks">
        No webhook subscribes to this type with these labels.
      <//>`}
    >
      ${(page) => html`
        <ul class="list">
          ${page.items.map((one) => html`
            <${Delivery}
              key=${one.id}
              delivery=${one}
              isOpen=${open === one.id}
              onToggle=${() => setOpen(open === one.id ? null : one.id)}
              onChange=${load.reload}
            />
          `)}
        </ul>
      `}
    <//>
  `;
}
