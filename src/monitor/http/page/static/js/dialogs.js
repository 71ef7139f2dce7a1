/** Which dialog is open. There is one at a time, above whatever view. */

import { createStore, useStore } from "./store.js";

const dialogs = createStore({ shown: null });

/** @param {() => any} shown renders the dialog */
export const openDialog = (shown) => dialogs.set({ shown });
export const closeDialog = () => dialogs.set({ shown: null });

export function Dialogs() {
  const { shown } = useStore(dialogs);
  return shown ? shown() : null;
}
