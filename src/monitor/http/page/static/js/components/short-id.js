/** An id, short enough for a row, with a button that copies all of it. */

import { html, useRef } from "../html.js";
import { CopyButton } from "./copy.js";

/** @param {{id: string, what: string, isWhole?: boolean}} props `what` names the thing in the button */
export function ShortId({ id, what, isWhole = false }) {
  const text = useRef(null);
  // The random end tells ids of one moment apart.
  return html`
    <span class="short-id">
      <code ref=${text} title=${id}>${isWhole ? id : `…${id.slice(-8)}`}</code>
      <${CopyButton} value=${id} label="Copy the id ${id} of the ${what}" of=${isWhole ? text : undefined} />
    </span>
  `;
}
