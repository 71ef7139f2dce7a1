/** What became of the deliveries of an event: how many are in which state, each a link to them. */

import { count } from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { Status } from "./status.js";

/** The ones to look after first. */
const ORDER = ["failed", "quarantined", "pending", "cancelled", "delivered"];

/** Said while workers are still making the deliveries. */
export const RUNNING = "Being sent to its webhooks";

/**
 * @param {{eventId: string, counts?: object, isRunning?: boolean, none?: string}} props `counts` by state; `complete` is
 *   false if there may be more; `isRunning` if more are being made; `none` is said where there is no delivery
 */
export function Outcome({ eventId, counts, isRunning = false, none = "No deliveries" }) {
  if (!counts) return null;
  const shown = ORDER.filter((state) => counts[state]);
  if (!shown.length && !isRunning) return none && html`<span class="muted small">${none}</span>`;
  return html`
    <span class="outcome">
      ${isRunning && html`<span class="muted small">${RUNNING}</span>`}
      ${shown.map((state) => html`
        <a key=${state} href=${href("/deliveries", { event: eventId, state })}>
          <${Status} of=${state} text=${`${count(counts[state])}${counts.complete ? "" : "+"} ${state}`} />
        </a>
      `)}
    </span>
  `;
}
