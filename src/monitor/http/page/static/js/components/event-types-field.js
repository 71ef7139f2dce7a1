/** Event types of a webhook, with those that were seen lately to choose from. */

import { api } from "../api.js";
import { useLoad } from "../hooks.js";
import { html } from "../html.js";
import { wordsOf } from "../webhook-spec.js";
import { TextField } from "./fields.js";

/** Events that are looked at: one page, however many there are. */
const EVENTS = 200;
const OFFERED = 12;

export function EventTypesField({ value, onChange, error }) {
  const load = useLoad((signal) => api.events({ limit: EVENTS }, signal), []);
  const chosen = wordsOf(value);
  const seen = [...new Set((load.data?.items ?? []).map((event) => event.type))].toSorted().slice(0, OFFERED);
  const toggle = (type) => {
    const others = chosen.filter((word) => word !== "*" && word !== type);
    onChange((chosen.includes(type) ? others : [...others, type]).join(" "));
  };
  return html`
    <${TextField}
      label="Event types"
      class="mono"
      error=${error}
      value=${value}
      hint="Separated by spaces: order.paid, a prefix such as order.*, or * for all."
      onInput=${(event) => onChange(event.target.value)}
    />
    ${seen.length > 0 && html`
      <div class="row seen-types" role="group" aria-label="Seen lately">
        <span class="hint" aria-hidden="true">Seen lately:</span>
        ${seen.map((type) => html`
          <button
            key=${type}
            type="button"
            class="small mono"
            aria-pressed=${String(chosen.includes(type))}
            onClick=${() => toggle(type)}
          >
            ${type}
          </button>
        `)}
      </div>
    `}
  `;
}
