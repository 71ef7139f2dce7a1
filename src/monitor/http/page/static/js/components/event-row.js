/** One event in the list: what it is, when it was accepted, and what became of it. */

import { atAndAge, precisely } from "../format.js";
import { useNow } from "../hooks.js";
import { html, useEffect, useRef } from "../html.js";
import { Outcome } from "./outcome.js";
import { ShortId } from "./short-id.js";

export function EventRow({ event, isCurrent }) {
  const now = useNow();
  const element = useRef(null);
  useEffect(() => {
    if (isCurrent) element.current.scrollIntoView({ block: "nearest" });
  }, [isCurrent]);
  return html`
    <li ref=${element} class="event-row ${isCurrent ? "current" : ""}" data-event=${event.id}>
      <div class="grow">
        <a class="strong mono" href=${`#/events/${event.id}`}>${event.type}</a>${" "}
        <${ShortId} id=${event.id} what="event" />
        <div class="small muted meta">
          <time datetime=${event.created_at} title=${precisely(event.created_at)}>
            ${atAndAge(event.created_at, now)}
          </time>
          ${event.order_key && html`<span class="break">order key <code>${event.order_key}</code></span>`}
          ${Object.entries(event.labels).map(([name, value]) => html`
            <span class="tag mono" key=${name}>${name}=${value}</span>
          `)}
        </div>
      </div>
      <${Outcome} eventId=${event.id} counts=${event.deliveries} isRunning=${event.fan_out === "running"} />
    </li>
  `;
}
