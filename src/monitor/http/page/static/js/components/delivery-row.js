/** One delivery in the list of all: tick it, or open it for its attempts. */

import { ago, at, plural, precisely } from "../format.js";
import { held } from "../held.js";
import { useNow } from "../hooks.js";
import { html, useEffect, useRef } from "../html.js";
import { may } from "../session.js";
import { codeInWords, kindOfError } from "../verdict.js";
import { Log } from "./delivery.js";
import { useDeliveryActions } from "./delivery-actions.js";
import { Disclosure } from "./disclosure.js";
import { Status } from "./status.js";

/**
 * @param {{delivery: object, isCurrent: boolean, isOpen: boolean, isTicked: boolean, onTick: () => void,
 *   onToggle: () => void, onChange: () => void}} props
 */
export function DeliveryRow({ delivery, isCurrent, isOpen, isTicked, onTick, onToggle, onChange }) {
  const now = useNow();
  const element = useRef(null);
  const name = delivery.webhook_name ?? "deleted webhook";
  const type = delivery.event_type ?? "event no longer stored";
  useEffect(() => {
    if (isCurrent) element.current.scrollIntoView({ block: "nearest" });
  }, [isCurrent]);
  return html`
    <li ref=${element} class="delivery-row ${isCurrent ? "current" : ""}" data-delivery=${delivery.id}>
      <div class="delivery-line">
        ${may("operator") && html`
          <input type="checkbox" aria-label="Select: ${type} to ${name}" checked=${isTicked} onChange=${onTick} />
        `}
        <${Status} of=${delivery.state} text=${delivery.in_flight ? "In flight" : undefined} />
        <div class="grow">
          <div>
            <a class="strong mono" href=${`#/events/${delivery.event_id}`}>${type}</a>${" "}
            <span class="muted">to</span>${" "}
            <a class="strong" href=${`#/webhooks/${delivery.webhook_id}`}>${name}</a>
          </div>
          <p class="small muted meta">
            <time datetime=${delivery.created_at} title=${precisely(delivery.created_at)}>
              ${at(delivery.created_at)}, ${ago(delivery.created_at, now)}
            </time>
            <span>${plural(delivery.attempts, "attempt")}</span>
            ${last(delivery) && html`<span>last: ${last(delivery)}</span>`}
            ${delivery.due_at && !delivery.in_flight && html`<span>${next(delivery, now)}</span>`}
            ${delivery.aside && html`<span>stepped aside</span>`}
          </p>
        </div>
        <${Disclosure} label="Attempts of ${type} to ${name}" isOpen=${isOpen} onToggle=${onToggle} />
      </div>
      ${isOpen && html`<${Detail} delivery=${delivery} onChange=${onChange} />`}
    </li>
  `;
}

function last({ last_status_code: code, last_error: error }) {
  if (error === "status" || (code && !error)) return codeInWords(code);
  return error ? kindOfError(error) : "";
}

function next({ due_at: due, held: reason }, now) {
  if (reason) return held(reason, now);
  return Date.parse(due) > now ? `next ${ago(due, now)}` : `due ${ago(due, now)}, queued`;
}

function Detail({ delivery, onChange }) {
  const { buttons, problem } = useDeliveryActions(delivery, onChange);
  return html`
    <div class="delivery-detail">
      <h2 class="visually-hidden">Attempts</h2>
      <div class="row">
        ${buttons}
        <span class="small muted break">Delivery <code>${delivery.id}</code></span>
        ${delivery.order_key && html`
          <span class="small muted break">
            order key <code>${delivery.order_key}</code>
          </span>
        `}
      </div>
      ${problem && html`<p class="field-error" role="alert">${problem.message}</p>`}
      <${Log} id=${delivery.id} attempts=${delivery.attempts} />
    </div>
  `;
}
