/** One alert in a list, with the button that matters. */

import { nowText, worstText } from "../alert-words.js";
import { atAndAge, precisely } from "../format.js";
import { useNow } from "../hooks.js";
import { html } from "../html.js";
import { may } from "../session.js";
import { openAcknowledge } from "./alert-actions.js";
import { Icon } from "./icons.js";
import { AlertState, Status } from "./status.js";

/** @param {{alert: object, isStated?: boolean}} props `isStated` where alerts of all states stand together */
export function AlertLine({ alert, isStated = false }) {
  const now = useNow();
  return html`
    <li class="worst-row">
      ${isStated ? html`
        <span class="stack">
          <${Status} of=${alert.severity} />
          <${AlertState} alert=${alert} />
        </span>
      ` : html`<${Status} of=${alert.severity} />`}
      <div class="grow">
        <a class="strong" href=${`#/alerts/${alert.id}`}>${alert.title}</a>
        <p class="muted small">
          <time datetime=${alert.raised_at} title=${precisely(alert.raised_at)}>
            ${atAndAge(alert.raised_at, now)}
          </time>
          ${alert.count > 1 && ` · raised ${alert.count} times`}
          ${worstText(alert) && ` · ${worstText(alert)}`}
          ${!isStated && alert.silenced && " · silenced"}
          ${!isStated && alert.flapping && " · flapping"}
        </p>
        ${alert.state !== "resolved" && nowText(alert) && html`<p class="small">Now: ${nowText(alert)}</p>`}
      </div>
      ${may("operator") && alert.state === "pending" && html`
        <button
          type="button"
          class="small"
          onClick=${() => openAcknowledge([alert])}
          aria-label="Ack: ${alert.title}"
        >
          <${Icon} name="check" size=${13} /> Ack
        </button>
      `}
    </li>
  `;
}
