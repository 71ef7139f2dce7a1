/** A choice in a toolbar that narrows a list. */

import { html } from "../html.js";

/**
 * @param {{label: string, value: string|undefined, options: (string|[string, string])[], any?: string|null,
 *   onChange: (value: string) => void}} props `any` is the text of the choice that narrows nothing; null leaves it out
 */
export function FilterSelect({ label, value = "", options, any = "any", onChange }) {
  const all = [...(any === null ? [] : [["", any]]), ...options.map((one) => (Array.isArray(one) ? one : [one, one]))];
  return html`
    <label class="inline">
      ${label}${" "}
      <select value=${value} onChange=${(event) => onChange(event.target.value)}>
        ${all.map(([of, text]) => html`<option key=${of} value=${of} selected=${of === value}>${text}</option>`)}
      </select>
    </label>
  `;
}
