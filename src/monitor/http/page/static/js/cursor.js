/** The row that the keys work on. */

import { useState } from "./html.js";

/** A cursor over *rows* that stays on its row when others come and go. */
export function useCursor(rows) {
  const [current, setCurrent] = useState({ id: null, at: -1 });
  const found = rows.findIndex((row) => row.id === current.id);
  // Gone: what came after it takes its place.
  const at = found >= 0 ? found : current.id === null ? -1 : Math.min(current.at, rows.length - 1);
  const move = (step) => {
    const next = Math.min(Math.max(at + step, 0), rows.length - 1);
    if (rows[next]) setCurrent({ id: rows[next].id, at: next });
  };
  const put = (index) => setCurrent({ id: rows[index]?.id ?? null, at: index });
  return [at, move, put];
}
