/** A button that unfolds what belongs to its row. */

import { html } from "../html.js";
import { Icon } from "./icons.js";

/** @param {{label: string, isOpen: boolean, onToggle: () => void}} props `label` names what is unfolded */
export function Disclosure({ label, isOpen, onToggle }) {
  return html`
    <button
      type="button"
      class="bare"
      aria-expanded=${isOpen ? "true" : "false"}
      aria-label=${label}
      onClick=${onToggle}
    >
      <span class=${isOpen ? "turned" : ""}>
        <${Icon} name="right" size=${13} />
      </span>
    </button>
  `;
}
