/** Rows that a person has ticked: they stay ticked when the list is filtered, sorted or read again. */

import { useState } from "./html.js";

/** @returns `items` by id, in the order in which they were ticked */
export function useSelection() {
  const [items, setItems] = useState(new Map());
  const change = (edit) =>
    setItems((before) => {
      const after = new Map(before);
      edit(after);
      return after;
    });
  return {
    items,
    has: (row) => items.has(row.id),
    toggle: (row) => change((all) => (all.has(row.id) ? all.delete(row.id) : all.set(row.id, row))),
    setAll: (rows, isTicked) =>
      change((all) => rows.forEach((row) => (isTicked ? all.set(row.id, row) : all.delete(row.id)))),
    clear: () => setItems(new Map()),
  };
}
