/** Hooks that many views share: loading with all its states, the time of day, and holding still. */

import { asProblem } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./html.js";
import { onTick } from "./tick.js";

/** @typedef {import("./api.js").Problem} Problem */

/**
 * Loads with *read* whenever *deps* change, and again every *everyMs* while the page is seen.
 *
 * @param {(signal: AbortSignal) => Promise<any>} read
 * @returns {{data: any, error: Problem|null, isLoading: boolean, at: number|null, reload: () => void,
 *   setData: Function}}
 *   `error` beside `data` means that the data is the last good one.
 */
export function useLoad(read, deps, { everyMs = 0 } = {}) {
  /** @type {[any, Function]} */
  const [state, setState] = useState({ data: null, error: null, isLoading: true, at: null });
  const current = useRef(null);

  const run = useCallback((keep) => {
    current.current?.abort();
    const controller = new AbortController();
    current.current = controller;
    setState((before) =>
      keep ? { ...before, isLoading: true } : { data: null, error: null, isLoading: true, at: null },
    );
    read(controller.signal).then(
      (data) => controller.signal.aborted || setState({ data, error: null, isLoading: false, at: Date.now() }),
      (error) => {
        if (controller.signal.aborted) return;
        setState((before) => ({ ...before, error: asProblem(error), isLoading: false }));
      },
    );
  }, deps);

  useEffect(() => {
    run(false);
    return () => current.current?.abort();
  }, [run]);
  useEffect(() => {
    const timer = everyMs && setInterval(() => document.hidden || run(true), everyMs);
    return () => clearInterval(timer);
  }, [run, everyMs]);

  const reload = useCallback(() => run(true), [run]);
  const setData = useCallback((change) => setState((before) => ({ ...before, data: change(before.data) })), []);
  return { ...state, reload, setData };
}

/**
 * A list that is read page by page: the first with all that `useLoad` does, older ones when somebody asks.
 *
 * @param {(cursor: string|null, signal?: AbortSignal) => Promise<{items: object[], next_cursor: string|null}>} read
 */
export function usePages(read, deps, { everyMs = 0 } = {}) {
  const [older, setOlder] = useState([]);
  const first = (signal) => {
    setOlder([]);
    return read(null, signal);
  };
  // Rows that move from page to page would be seen twice, so older pages stop the refreshing.
  const load = useLoad(first, deps, { everyMs: older.length ? 0 : everyMs });
  const pages = [load.data, ...older].filter(Boolean);
  const cursor = pages.at(-1)?.next_cursor ?? null;
  const action = useAction(async () => {
    const page = await read(cursor);
    setOlder((before) => [...before, page]);
    return page;
  });
  return {
    load,
    items: pages.flatMap((page) => page.items),
    hasMore: cursor !== null,
    more: action.run,
    isBusy: action.isBusy,
    problem: action.problem,
  };
}

/** Unix milliseconds, fresh every *everyMs*. */
export function useNow(everyMs = 5_000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    setNow(Date.now());
    return onTick(everyMs, setNow);
  }, [everyMs]);
  return now;
}

/**
 * Keeps rows where they are while somebody points at them or works in them: values change in place, the order does not.
 *
 * @param {any[]} rows in the order they should have; each has an `id`
 * @param {string} key what the order depends on: another one begins anew
 * @returns {[any[], object]} rows in the order they are shown, and handlers for the element around them
 */
export function useHeldOrder(rows, key) {
  const [isHeld, setHeld] = useState(false);
  const order = useRef({ key: "", ids: /** @type {string[]} */ ([]) });
  const shown = isHeld && order.current.key === key ? inOrder(rows, order.current.ids) : rows;
  order.current = { key, ids: shown.map((row) => row.id) };
  const handlers = {
    onPointerEnter: () => setHeld(true),
    onPointerLeave: (event) => setHeld(event.currentTarget.contains(document.activeElement)),
    onFocusIn: () => setHeld(true),
    onFocusOut: (event) =>
      event.currentTarget.contains(event.relatedTarget) || setHeld(event.currentTarget.matches(":hover")),
  };
  return [shown, handlers];
}

function inOrder(rows, ids) {
  const place = new Map(ids.map((id, index) => [id, index]));
  return rows.toSorted((a, b) => (place.get(a.id) ?? Infinity) - (place.get(b.id) ?? Infinity));
}

/**
 * Calls *action*, tells while it runs, and keeps the problem it ended with. Once at a time: a button keeps the focus
 * while it is busy, so it is `aria-disabled` and can be pressed.
 */
export function useAction(action) {
  /** @type {[{isBusy: boolean, problem: any}, Function]} */
  const [state, setState] = useState({ isBusy: false, problem: null });
  const isRunning = useRef(false);
  const run = async (...args) => {
    if (isRunning.current) return undefined;
    isRunning.current = true;
    setState({ isBusy: true, problem: null });
    let problem = null;
    try {
      return await action(...args);
    } catch (error) {
      problem = asProblem(error);
      return undefined;
    } finally {
      isRunning.current = false;
      setState({ isBusy: false, problem });
    }
  };
  return { ...state, run };
}

/** Calls *listener* for every frame of the feed; see board.js. */
export function useFrames(subscribe, listener) {
  const current = useRef(listener);
  current.current = listener;
  useEffect(() => subscribe((frame) => current.current(frame)), [subscribe]);
}

/** *value*, once it has not changed for *waitMs*. */
export function useSettled(value, waitMs = 250) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), waitMs);
    return () => clearTimeout(timer);
  }, [value, waitMs]);
  return settled;
}
