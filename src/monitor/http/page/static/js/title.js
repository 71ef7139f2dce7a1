/** What the title of the document names beside the kind of place: a webhook, so that tabs can be told apart. */

import { useEffect } from "./html.js";
import { createStore } from "./store.js";

export const named = createStore({ name: "" });

/** While the caller is shown, the title begins with *name*. */
export function useTitle(name) {
  useEffect(() => {
    named.set({ name });
    return () => named.set({ name: "" });
  }, [name]);
}
