/** How much waits for a webhook, and what sending it did, in words. */

import { count, plural } from "./format.js";
import { held } from "./held.js";

/** @param {{waiting: number, complete: boolean}} backlog */
export function queued({ waiting, complete }) {
  if (!waiting) return "Nothing queued";
  return `Queued ${count(waiting)}${complete ? "" : "+"}`;
}

/**
 * @param {{hastened: number, job: ?string, held: ?object}} done the answer to sending now
 * @param {{waiting: number, breaker: {state: string}}} backlog as it was before
 * @param {number} now milliseconds
 */
export function sentNow(done, backlog, now) {
  if (done.held) return `Queued deliveries are due. ${held(done.held, now)}.`;
  if (!backlog?.waiting) return "Nothing is queued.";
  if (backlog.breaker.state !== "closed") return "One delivery is tried now; if it succeeds, the others follow.";
  return `${plural(backlog.waiting, "delivery is", "deliveries are")} being sent.`;
}
