/** The list of webhooks as the server filters, sorts and pages it. Only the rows in sight are read again. */

import { api, asProblem } from "./api.js";
import { onFrame } from "./board.js";
import { useFrames } from "./hooks.js";
import { useCallback, useEffect, useRef, useState } from "./html.js";

const REFRESH_MS = 15_000;
/** Frames that come together make one read, and a storm of them one every few seconds. */
const GATHER_MS = 400;
const APART_MS = 3_000;
const IDS_MAX = 100;

export const SIZES = ["50", "100", "200"];
export const DEFAULT_SIZE = "100";

/**
 * @type {{rows: object[], key: string, cursor: string|null, total: number|null, counts: Record<string, number>,
 *   isLoading: boolean, isFresh: boolean, error: import("./api.js").Problem|null}}
 */
const EMPTY = { rows: [], key: "", cursor: null, total: null, counts: {}, isLoading: true, isFresh: false, error: null };

/** What of the address the server filters and sorts by. */
export function asked(query) {
  return {
    q: query.q,
    status: query.status,
    label: query.label,
    event_type: query.type,
    failing: query.failing && "true",
    alerting: query.alerting && "true",
    waiting: query.waiting && "true",
    sort: query.sort,
    reverse: query.reverse && "true",
    limit: SIZES.includes(query.size) ? query.size : DEFAULT_SIZE,
  };
}

/**
 * @param {Record<string, string>} query of the address
 * @returns rows so far with `more()` and `reload()`; `watch(ids)` names the rows in sight; `counts` are by status
 */
export function useWebhookRows(query) {
  const what = asked(query);
  const key = JSON.stringify(what);
  const [state, setState] = useState(EMPTY);
  const latest = useRef(null);
  latest.current = { state, what, key };
  const reading = useRef(null);
  const inSight = useRef([]);

  const read = useCallback(async (cursor) => {
    reading.current?.abort();
    const controller = new AbortController();
    reading.current = controller;
    setState((before) => ({ ...before, isLoading: true }));
    try {
      const { what: wanted, key: of } = latest.current;
      const page = await api.healthRows({ ...wanted, cursor }, controller.signal);
      if (controller.signal.aborted) return;
      setState((before) => withPage(before, page, cursor, of));
    } catch (error) {
      if (controller.signal.aborted) return;
      setState((before) => ({ ...before, isLoading: false, error: asProblem(error) }));
    }
  }, []);

  useEffect(() => {
    // What was found before stays in sight until the answer is there.
    setState((before) => ({ ...before, isFresh: false, cursor: null }));
    read(null);
  }, [key]);
  useEffect(() => () => reading.current?.abort(), []);

  const more = useCallback(() => {
    const { cursor, isLoading, isFresh, error } = latest.current.state;
    if (cursor && !isLoading && isFresh && !error) read(cursor);
  }, []);
  const refresh = useCallback(async () => {
    const { rows, isLoading, isFresh } = latest.current.state;
    if (document.hidden || isLoading) return;
    if (!isFresh || rows.length <= Number(latest.current.what.limit)) {
      read(null);
      return;
    }
    await again(latest.current.what, inSight.current, setState);
  }, []);
  useRefreshes(refresh);
  const watch = useCallback((ids) => (inSight.current = ids.slice(0, IDS_MAX)), []);
  return { ...state, more, watch, reload: () => read(null) };
}

/** `key` names what the rows were asked by: they follow the address some time later. */
function withPage(before, page, cursor, key) {
  const fresh = { key, isLoading: false, isFresh: true, error: null, cursor: page.next_cursor };
  if (!cursor) return { ...before, ...fresh, rows: page.items, total: page.total, counts: page.counts };
  const known = new Set(before.rows.map((row) => row.id));
  // One that moved meanwhile may come twice.
  return { ...before, ...fresh, rows: [...before.rows, ...page.items.filter((row) => !known.has(row.id))] };
}

/** Reads the rows in sight and the counts; those that are gone, or no longer match, stay until the list is read. */
async function again(what, ids, setState) {
  try {
    const [seen, counted] = await Promise.all([
      ids.length ? api.healthRows({ ids: ids.join(","), limit: IDS_MAX }) : { items: [] },
      api.healthRows({ ...what, limit: 1 }),
    ]);
    const byId = new Map(seen.items.map((row) => [row.id, row]));
    setState((before) => ({
      ...before,
      total: counted.total,
      counts: counted.counts,
      rows: before.rows.map((row) => byId.get(row.id) ?? row),
    }));
  } catch (error) {
    setState((before) => ({ ...before, error: asProblem(error) }));
  }
}

/** Calls *refresh* now and then, and soon after the feed tells of a change of health or alerts. */
function useRefreshes(refresh) {
  const soon = useRef(null);
  const lately = useRef(0);
  useEffect(() => {
    const timer = setInterval(refresh, REFRESH_MS);
    return () => (clearInterval(timer), clearTimeout(soon.current));
  }, []);
  useFrames(onFrame, ({ type }) => {
    if (type !== "webhook_status_changed" && type !== "alert_new" && type !== "alert_updated") return;
    soon.current ??= setTimeout(() => {
      soon.current = null;
      lately.current = Date.now();
      refresh();
    }, Math.max(GATHER_MS, lately.current + APART_MS - Date.now()));
  });
}
