/** Lists that were left: their filters and how far they were scrolled, for the way back. */

import { href } from "./router.js";

const LISTS = { webhooks: "/webhooks", events: "/events" };
const left = new Map();
let isReturning = false;

/** Remembers the list *name*, which is about to make way for another view. */
export function leave({ name, query }) {
  if (name in LISTS) left.set(name, { query, y: scrollY });
}

/** The address of the list *name* as it was left. */
export const hrefOf = (name) => href(LISTS[name], left.get(name)?.query);

/** Says that the next view is a list that somebody returns to. */
export const returnTo = () => void (isReturning = true);

/** How far the list *name* is to be scrolled, when somebody returns to it; 0 otherwise. Asked once for each view. */
export function takeScroll(name) {
  const y = isReturning ? left.get(name)?.y ?? 0 : 0;
  isReturning = false;
  return y;
}
