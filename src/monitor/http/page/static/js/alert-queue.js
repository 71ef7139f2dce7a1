/** Working through a list of alerts: the row of the keys, the pane beside it, and where the list was scrolled to. */

import { useCursor } from "./cursor.js";
import { useEffect, useLayoutEffect, useRef } from "./html.js";
import { go, replace } from "./router.js";

/**
 * @param {{items: object[], isKnown: boolean, id: string|null, query: object}} props *id* is the alert in the pane
 * @returns {{at: number, step: (by: number) => void, show: (alert?: object) => void, following: object|null}}
 *   `step` moves the row, and the pane if it is open; `following` is what to look at after the alert in the pane
 */
export function useQueue({ items, isKnown, id, query }) {
  const [at, move, put] = useCursor(items);
  const place = items.findIndex((alert) => alert.id === id);
  useEffect(() => {
    if (id !== null && place >= 0) put(place);
  }, [id, isKnown]);
  useKeptScroll(id !== null);

  const show = (alert) => alert && go(`/alerts/${alert.id}`, query);
  const step = (by) => {
    if (id === null) return move(by);
    // What was in the pane may have left the list: the one that took its place comes next.
    const next = place >= 0 ? place + by : by > 0 ? Math.max(at, 0) : at - 1;
    if (items[next]) replace(`/alerts/${items[next].id}`, query);
    return undefined;
  };
  const following = id === null ? null : ((place >= 0 ? items[place + 1] : items[Math.max(at, 0)]) ?? null);
  return { at, step, show, following };
}

/** Leaves the list where it was: on a phone the pane stands in its place. */
function useKeptScroll(isOpen) {
  const kept = useRef(0);
  const before = useRef(isOpen);
  useEffect(() => {
    const keep = () => !isOpen && (kept.current = scrollY);
    addEventListener("scroll", keep, { passive: true });
    return () => removeEventListener("scroll", keep);
  }, [isOpen]);
  useLayoutEffect(() => {
    if (before.current === isOpen) return;
    before.current = isOpen;
    const isBeside = matchMedia("(min-width: 1081px)").matches;
    if (!isBeside) scrollTo({ top: isOpen ? 0 : kept.current });
  }, [isOpen]);
}
