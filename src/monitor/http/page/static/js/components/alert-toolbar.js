/** Which alerts the list shows, and what is done to those that are ticked. */

import { plural } from "../format.js";
import { html } from "../html.js";
import { href, setQuery } from "../router.js";
import { ALERT_KINDS, ALERT_STATES, SEVERITIES } from "../words.js";
import { FilterSelect } from "./filter-select.js";
import { Icon } from "./icons.js";

const STATES = [...Object.entries(ALERT_STATES).map(([state, { text }]) => [state, text]), ["all", "All"]];

export function AlertToolbar({ state, query, chosen, onAcknowledge }) {
  return html`
    <div class="toolbar">
      <nav class="segments" aria-label="State">
        ${STATES.map(([one, text]) => html`
          <a
            key=${one}
            href=${href("/alerts", { ...query, state: one })}
            aria-current=${one === state ? "true" : undefined}
          >
            ${text}
          </a>
        `)}
      </nav>
      <${FilterSelect}
        label="Severity"
        value=${query.severity}
        options=${SEVERITIES}
        onChange=${(severity) => setQuery({ severity })}
      />
      <${FilterSelect}
        label="Kind"
        value=${query.kind}
        options=${ALERT_KINDS}
        onChange=${(kind) => setQuery({ kind })}
      />
      ${query.webhook && html`
        <button type="button" class="small" onClick=${() => setQuery({ webhook: "" })}>
          <${Icon} name="close" size=${11} /> One webhook only
        </button>
      `}
      ${chosen > 0 && html`
        <button type="button" class="primary" onClick=${onAcknowledge}>
          Acknowledge ${plural(chosen, "alert")}
        </button>
      `}
    </div>
  `;
}
