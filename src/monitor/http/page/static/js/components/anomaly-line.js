/** One anomaly in a list: what was measured against what is normal. */

import { probability } from "../alert-words.js";
import { atAndAge, duration, plural, precisely } from "../format.js";
import { html } from "../html.js";
import { Status } from "./status.js";

export function AnomalyLine({ anomaly, now, isNamed = true }) {
  const { evidence } = anomaly;
  return html`
    <li class="worst-row">
      <${Status}
        of=${anomaly.closed_at ? "over" : anomaly.severity}
        text=${anomaly.closed_at ? "Closed" : undefined}
      />
      <div class="grow">
        ${isNamed && html`
          <a class="strong" href=${`#/webhooks/${anomaly.webhook_id}`}>${anomaly.webhook_name}</a>
        `}
        <p class="small">${anomaly.sentence}</p>
        <p class="muted small">
          <time datetime=${anomaly.opened_at} title=${precisely(anomaly.opened_at)}>
            ${atAndAge(anomaly.opened_at, now)}
          </time>
          ${` · ${anomaly.signal.replaceAll("_", " ")} · ${plural(evidence.n, "attempt")} in ${duration(evidence.window_s)}`}
          ${` · ${probability(evidence.p_value)}`}
        </p>
      </div>
    </li>
  `;
}
