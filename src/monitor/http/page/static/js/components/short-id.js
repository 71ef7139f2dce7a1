/** An id, short enough for a row, with a button that copies all of it. */

import { html, useRef } from "../html.js";
import { Icon } from "./icons.js";
import { toast } from "./toast.js";

/** @param {{id: string, what: string, isWhole?: boolean}} props `what` names the thing in the button */
export function ShortId({ id, what, isWhole = false }) {
  const text = useRef(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(id);
      toast(`Copied the id of the ${what}.`);
    } catch {
      // Without a secure context there is no clipboard; a person may still take the selection.
      getSelection().selectAllChildren(text.current);
      toast("The id is selected: press Ctrl+C.", { tone: "info" });
    }
  };
  // The random end tells ids of one moment apart.
  return html`
    <span class="short-id">
      <code ref=${text} title=${id}>${isWhole ? id : `…${id.slice(-8)}`}</code>
      <button type="button" class="bare" aria-label="Copy the id ${id} of the ${what}" onClick=${copy}>
        <${Icon} name="copy" size=${13} />
      </button>
    </span>
  `;
}
