/** Which dialog is open. There is one at a time, above whatever view. */

import { createStore, useStore } from "./store.js";

const dialogs = createStore({ shown: null, stays: false });

/**
 * @param {() => any} shown renders the dialog
 * @param {{stays?: boolean}} [options] `stays` keeps it when the view behind it is left, by Back or by a link
 */
export const openDialog = (shown, { stays = false } = {}) => dialogs.set({ shown, stays });
export const closeDialog = () => dialogs.set({ shown: null, stays: false });
/** The view behind the dialog is left: what was asked there is asked no more. */
export const leaveDialog = () => dialogs.get().stays || closeDialog();

export function Dialogs() {
  const { shown } = useStore(dialogs);
  return shown ? shown() : null;
}
