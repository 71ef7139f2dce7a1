/** One event and its deliveries, followed until each has come to an end. */

import { api } from "../api.js";
import { indented } from "../bytes.js";
import { Deliveries } from "../components/deliveries.js";
import { Icon } from "../components/icons.js";
import { Outcome } from "../components/outcome.js";
import { Segments } from "../components/segments.js";
import { ShortId } from "../components/short-id.js";
import { Loaded } from "../components/states.js";
import { toast } from "../components/toast.js";
import { at as timeOf, count, plural } from "../format.js";
import { useAction, useLoad } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { may } from "../session.js";

const FORMS = [
  [false, "Formatted"],
  [true, "As posted"],
];

/** How often the event is read while workers are making its deliveries. */
const FOLLOW_MS = 3_000;

export function Event({ id }) {
  const [isRunning, setRunning] = useState(false);
  const load = useLoad((signal) => api.event(id, signal), [id], { everyMs: isRunning ? FOLLOW_MS : 0 });
  useEffect(() => setRunning(load.data?.fan_out === "running"), [load.data]);
  const [again, setAgain] = useState(0);
  const [isRaw, setRaw] = useState(false);
  return html`
    <p class="crumbs">
      <a href="#/events">
        <${Icon} name="left" size=${12} /> Events
      </a>
    </p>
    <${Loaded} load=${load} what="Reading the event">
      ${(event) => html`
        <h1 tabindex="-1" class="mono">${event.type}</h1>
        <p class="muted small">
          Occurred ${timeOf(event.occurred_at)} · accepted ${timeOf(event.created_at)} ·${" "}
          <${ShortId} id=${event.id} what="event" isWhole=${true} />
          ${event.order_key && html`
            ${" · order key "}
            <code>${event.order_key}</code>
          `}
        </p>
        <p>
          ${Object.entries(event.labels).map(([name, value]) => html`
            <span class="tag mono">
              ${name}=${value}
            </span>${" "}
          `)}
          <${Outcome} eventId=${event.id} counts=${event.deliveries} isRunning=${isRunning} none="" />
        </p>
        <section class="panel" aria-labelledby="deliveries">
          <header class="panel-head">
            <h2 id="deliveries">Deliveries</h2>
            ${may("operator") && html`<${Resend} id=${id} onSent=${() => (setAgain(again + 1), load.reload())} />`}
          </header>
          <${Deliveries} eventId=${id} isRunning=${isRunning} again=${again} onChange=${load.reload} />
        </section>
        <section class="panel" aria-labelledby="payload">
          <header class="panel-head">
            <h2 id="payload">Payload</h2>
            <${Segments} label="Payload" value=${isRaw} options=${FORMS} onChange=${setRaw} />
          </header>
          <pre class="body" tabindex="0">${isRaw ? event.payloadText : indented(event.payloadText)}</pre>
        </section>
      `}
    <//>
  `;
}

function Resend({ id, onSent }) {
  const resend = useAction(async () => {
    toast(outcome(await api.resendEvent(id)));
    onSent();
    return true;
  });
  useEffect(() => {
    if (resend.problem) toast(resend.problem.message, { tone: "bad" });
  }, [resend.problem]);
  return html`
    <button type="button" class="small" aria-disabled=${resend.isBusy ? "true" : undefined} onClick=${resend.run}>
      Send again
    </button>
  `;
}

function outcome({ job, requeued, created, pending }) {
  if (job) return "Workers are sending it again.";
  if (!requeued && !created && !pending) return "No enabled webhook matches this event.";
  const again = plural(requeued, "delivery", "deliveries");
  return `${again} sent again, ${count(created)} new, ${count(pending)} pending already.`;
}
