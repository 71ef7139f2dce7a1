/** State that several views share: a value, and who wants to hear when it is replaced. */

import { useEffect, useRef, useState } from "./html.js";

/**
 * @template T
 * @param {T} initial
 */
export function createStore(initial) {
  let state = initial;
  const listeners = new Set();
  return {
    /** @returns {T} */
    get: () => state,
    /** Replaces the members in *patch*; a function gets the state and returns a patch. */
    set(patch) {
      state = { ...state, ...(typeof patch === "function" ? patch(state) : patch) };
      for (const listener of [...listeners]) listener(state);
    },
    /** @returns {() => void} ends the subscription */
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const whole = (state) => state;

/** Returns what *select* picks from *store*, and renders again when that is another value (compared by identity). */
export function useStore(store, select = whole) {
  const [, draw] = useState(0);
  const picked = select(store.get());
  // The newest of each: *select* may close over props, which change without the store.
  const latest = useRef(null);
  latest.current = { select, picked };
  useEffect(() => {
    const check = () => {
      if (!Object.is(latest.current.select(store.get()), latest.current.picked)) draw((n) => n + 1);
    };
    check();
    return store.subscribe(check);
  }, [store]);
  return picked;
}
