/** The rows of the list of webhooks, read page by page and kept fresh by the feed. */

import { api, readAll } from "./api.js";
import { board, onFrame } from "./board.js";
import { useFrames, useLoad } from "./hooks.js";
import { useCallback, useMemo, useRef, useState } from "./html.js";

export const CAP = 5_000;
const REFRESH_MS = 30_000;
const REFRESH_ROW_MS = 60;

/** Reads every row page by page. A search is the server's: it sees URLs and descriptions that rows do not hold. */
export function useRows(q, label, eventType) {
  const [partial, setPartial] = useState(null);
  const known = useRef(new Map());
  const isSearch = Boolean(q || label || eventType);
  const load = useLoad(
    async (signal) => {
      setPartial(null);
      const read = isSearch
        ? (page) => api.webhooks({ ...page, q, label, event_type: eventType }, signal)
        : (page) => api.healthRows(page, signal);
      const onPage = (rows, isMore) => isMore && setPartial(rows);
      const { rows, isWhole } = await readAll(read, { cap: CAP, signal, onPage });
      setPartial(null);
      return { rows, isCut: !isWhole };
    },
    [q, label, eventType],
    // Changes of health come by the feed; the more rows, the rarer all of them are read again.
    { everyMs: Math.max(REFRESH_MS, known.current.size * REFRESH_ROW_MS) },
  );
  const patch = useCallback(
    (frame) => {
      if (frame.type !== "webhook_status_changed") return;
      const { webhook_id: id, status, reason, at } = frame.data;
      load.setData(
        (data) =>
          data && {
            ...data,
            rows: data.rows.map((row) =>
              row.id === id ? { ...row, health: { ...row.health, status, reason, changed_at: at } } : row,
            ),
          },
      );
    },
    [load.setData],
  );
  useFrames(onFrame, patch);

  const rows = load.data?.rows ?? partial ?? [];
  const whole = useMemo(() => {
    if (!isSearch && load.data) known.current = new Map(rows.map((row) => [row.id, row]));
    // A search answers without sparklines; what was read before fills them in.
    return isSearch ? rows.map((row) => ({ ...seen(known.current, row.id), ...row })) : rows;
  }, [rows]);
  return {
    rows: whole,
    error: load.error,
    isLoading: load.isLoading,
    isMore: load.isLoading && !load.data,
    isCut: load.data?.isCut,
    reload: load.reload,
  };
}

function seen(known, id) {
  const row = known.get(id) ?? board.get().webhooks.find((one) => one.id === id);
  return { sparkline: row?.sparkline ?? null, alerts: row?.alerts ?? 0, anomalies: row?.anomalies ?? 0 };
}
