/** State that several views share: a value, and who wants to hear when it is replaced. */

import { useEffect, useState } from "./html.js";

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

/** Returns what *select* picks from *store*, and renders again when that is another value (compared by identity). */
export function useStore(store, select = (state) => state) {
  const [picked, setPicked] = useState(() => ({ value: select(store.get()) }));
  useEffect(() => {
    const check = () => {
      const value = select(store.get());
      setPicked((before) => (Object.is(before.value, value) ? before : { value }));
    };
    check();
    return store.subscribe(check);
  }, [store]);
  return picked.value;
}
