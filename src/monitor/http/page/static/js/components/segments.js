/** A few choices side by side, one of them pressed. */

import { html } from "../html.js";

/** @param {{label: string, value: any, options: [any, string][], onChange: (value: any) => void}} props */
export function Segments({ label, value, options, onChange }) {
  return html`
    <div class="segments" role="group" aria-label=${label}>
      ${options.map(([of, text]) => html`
        <button type="button" key=${of} aria-pressed=${of === value} onClick=${() => onChange(of)}>${text}</button>
      `)}
    </div>
  `;
}
