/** Asks before a form with unsaved input is left, by a link, a key, the history, or the browser. */

import { ActionDialog } from "./dialog.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { html, useEffect, useRef } from "../html.js";
import { go, guardRoute } from "../router.js";

/**
 * @param {boolean} isDirty whether something would be lost
 * @returns {() => void} lets the next step away pass unasked; for when the form has been saved
 */
export function useUnsaved(isDirty) {
  const isSaved = useRef(false);
  const dirty = useRef(isDirty);
  dirty.current = isDirty;
  useEffect(() => {
    const holds = () => dirty.current && !isSaved.current;
    const leave = () => (isSaved.current = true);
    const stop = guardRoute((path) => {
      if (!holds()) return true;
      ask(() => (leave(), go(path)));
      return false;
    });
    // Browsers show words of their own.
    const unload = (event) => holds() && event.preventDefault();
    window.addEventListener("beforeunload", unload);
    return () => {
      stop();
      window.removeEventListener("beforeunload", unload);
    };
  }, []);
  return () => (isSaved.current = true);
}

function ask(leave) {
  const done = () => {
    closeDialog();
    leave();
  };
  openDialog(() => html`
    <${ActionDialog}
      title="Leave without saving?"
      verb="Discard changes"
      cancel="Keep editing"
      isCancelFirst
      tone="danger"
      action=${async () => true}
      onDone=${done}
      onClose=${closeDialog}
    >
      <p>What you entered here has not been saved.</p>
    <//>
  `);
}
