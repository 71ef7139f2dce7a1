/** One alert in the list to work through. */

import { nowText, worstText } from "../alert-words.js";
import { atAndAge, precisely } from "../format.js";
import { useNow } from "../hooks.js";
import { html, useEffect, useRef } from "../html.js";
import { href } from "../router.js";
import { may } from "../session.js";
import { AlertState, Status } from "./status.js";

export function AlertItem({ alert, isCurrent, isShown, isTicked, onTick, query }) {
  const now = useNow(15_000);
  const element = useRef(null);
  useEffect(() => {
    if (isCurrent && !isShown) element.current.scrollIntoView({ block: "nearest" });
  }, [isCurrent]);
  return html`
    <li
      ref=${element}
      class="alert-item ${isCurrent ? "current" : ""} ${isShown ? "shown" : ""}"
      data-alert=${alert.id}
    >
      ${may("operator") && html`
        <input
          type="checkbox"
          aria-label="Select: ${alert.title}"
          checked=${isTicked}
          disabled=${alert.state !== "pending"}
          onChange=${onTick}
        />
      `}
      <${Status} of=${alert.severity} />
      <div class="grow">
        <a class="strong" href=${href(`/alerts/${alert.id}`, query)} aria-current=${isShown ? "true" : undefined}>
          ${alert.title}
        </a>
        <p class="small muted meta">
          <${AlertState} alert=${alert} /> <span>${alert.kind}</span>
          <time datetime=${alert.raised_at} title=${precisely(alert.raised_at)}>
            ${atAndAge(alert.raised_at, now)}
          </time>
          ${alert.count > 1 && html`<span>× ${alert.count}</span>`}
          ${worstText(alert) && html`<span>${worstText(alert)}</span>`}
          ${alert.acknowledged_by && html`<span>by ${alert.acknowledged_by}</span>`}
        </p>
        ${alert.state !== "resolved" && nowText(alert) && html`<p class="small">Now: ${nowText(alert)}</p>`}
      </div>
    </li>
  `;
}
