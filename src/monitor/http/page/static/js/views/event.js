/** One event and its deliveries, followed until each has come to an end. */

import { api } from "../api.js";
import { board } from "../board.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded } from "../components/states.js";
import { Status } from "../components/status.js";
import { toast } from "../components/toast.js";
import { ago, at as timeOf, count, plural, precisely } from "../format.js";
import { held } from "../held.js";
import { useAction, useLoad, useNow } from "../hooks.js";
import { Fragment, html, useEffect, useState } from "../html.js";
import { may } from "../session.js";
import { useStore } from "../store.js";
import { Exchange } from "./attempts.js";

const FOLLOW_MS = 1_000;
const CALM_MS = 15_000;

export function Event({ id }) {
  const load = useLoad((signal) => api.event(id, signal), [id]);
  const [again, setAgain] = useState(0);
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
          <code>${event.id}</code>
          ${event.order_key && html`
            ${" "}
            · order key <code>${event.order_key}</code>
          `}
        </p>
        <p>
          ${Object.entries(event.labels).map(([name, value]) => html`
            <span class="tag mono">
              ${name}=${value}
            </span>${" "}
          `)}
          ${Object.entries(event.deliveries ?? {})
            .filter(([, n]) => n)
            .map(([state, n]) => html`
              <span class="tag">
                ${count(n)} ${state}
              </span>${" "}
            `)}
        </p>
        <section class="panel" aria-labelledby="deliveries">
          <header class="panel-head">
            <h2 id="deliveries">Deliveries</h2>
            ${may("operator") && html`<${Resend} id=${id} onSent=${() => (setAgain(again + 1), load.reload())} />`}
          </header>
          <${Deliveries} eventId=${id} again=${again} onChange=${load.reload} />
        </section>
        <section class="panel" aria-labelledby="payload">
          <header class="panel-head">
            <h2 id="payload">Payload</h2>
          </header>
          <pre class="body" tabindex="0">${JSON.stringify(event.payload, null, 2)}</pre>
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
    <button type="button" class="small" disabled=${resend.isBusy} onClick=${resend.run}>Send again</button>
  `;
}

function outcome({ job, requeued, created, pending }) {
  if (job) return "Workers are sending it again.";
  if (!requeued && !created && !pending) return "No enabled webhook matches this event.";
  return `${plural(requeued, "delivery", "deliveries")} sent again, ${count(created)} new, ${count(pending)} pending already.`;
}

/**
 * Follows closely while something may still happen soon.
 *
 * @param {{eventId: string, again?: number, onChange?: () => void}} props *again* changes when they were sent again; *onChange* is called after
 *   each list that says something else than the one before: what is counted elsewhere is older than it
 */
export function Deliveries({ eventId, again = 0, onChange }) {
  const [isMoving, setMoving] = useState(true);
  const [open, setOpen] = useState(null);
  const load = useLoad((signal) => api.deliveries({ event_id: eventId, limit: 200 }, signal), [eventId], {
    everyMs: isMoving ? FOLLOW_MS : CALM_MS,
  });
  const items = load.data?.items;
  useEffect(() => {
    if (items)
      setMoving(
        items.some(
          (one) => one.state === "pending" && (one.in_flight || Date.parse(one.due_at) < Date.now() + 30_000),
        ),
      );
  }, [items]);
  useEffect(() => {
    if (again) load.reload();
  }, [again]);
  const said = items?.map((one) => `${one.id} ${one.state} ${one.attempts}`).join();
  useEffect(() => {
    if (said !== undefined) onChange?.();
  }, [said]);
  return html`
    <${Loaded}
      load=${load}
      what="Reading deliveries"
      lines=${2}
      isEmpty=${(page) => !page.items.length}
      empty=${html`<${Empty} title="No deliveries" icon="webhooks">
        No webhook subscribes to this type with these labels.
      <//>`}
    >
      ${(page) => html`
        <ul class="list">
          ${page.items.map((one) => html`
            <${Delivery}
              key=${one.id}
              delivery=${one}
              isOpen=${open === one.id}
              onToggle=${() => setOpen(open === one.id ? null : one.id)}
              onChange=${load.reload}
            />
          `)}
        </ul>
      `}
    <//>
  `;
}

function Delivery({ delivery, isOpen, onToggle, onChange }) {
  const now = useNow(1_000);
  const known = useStore(board, (state) => state.webhooks.find((row) => row.id === delivery.webhook_id));
  const webhook = useLoad(
    async (signal) => (await api.webhook(delivery.webhook_id, signal)).data,
    [delivery.webhook_id],
  );
  const act = (call, words) => async () => {
    const changed = await call(delivery.id);
    toast(changed.held ? `${words} ${held(changed.held, Date.now())}` : words);
    onChange();
    return true;
  };
  const retry = useAction(act(api.retryDelivery, "The delivery is due now."));
  const cancel = useAction(act(api.cancelDelivery, "The delivery is cancelled."));
  const problem = retry.problem ?? cancel.problem;
  const result = delivery.last_status_code ?? delivery.last_error;
  return html`
    <li class="delivery">
      <div class="worst-row flat">
        <${Status} of=${delivery.state} text=${delivery.in_flight ? "In flight" : undefined} />
        <div class="grow">
          <a class="strong" href=${`#/webhooks/${delivery.webhook_id}`}>
            ${known?.name ?? webhook.data?.name ?? "Webhook"}
          </a>
          <p class="small muted">
            ${plural(delivery.attempts, "attempt")}
            ${result ? ` · last: ${result}` : ""}
            ${delivery.due_at && !delivery.in_flight ? ` · ${due(delivery, now)}` : ""}
            ${delivery.finished_at && html`
              ${" "}
              ·${" "}
              <time datetime=${delivery.finished_at} title=${precisely(delivery.finished_at)}>
                ${ago(delivery.finished_at, now)}
              </time>
            `}
          </p>
          ${delivery.held && html`<p class="small muted">${held(delivery.held, now)}</p>`}
          ${delivery.aside && html`<p class="small muted">Stepped aside: those behind it overtake it</p>`}
        </div>
        ${may("operator") && delivery.state !== "delivered" && html`
          <button type="button" class="small" disabled=${retry.isBusy} onClick=${retry.run}>
            Retry now
          </button>
        `}
        ${may("operator") && delivery.state === "pending" && html`
          <button type="button" class="small" disabled=${cancel.isBusy} onClick=${cancel.run}>
            Cancel
          </button>
        `}
        <button
          type="button"
          class="bare"
          aria-expanded=${isOpen ? "true" : "false"}
          aria-label="Attempts"
          onClick=${onToggle}
        >
          <span class=${isOpen ? "turned" : ""}>
            <${Icon} name="right" size=${13} />
          </span>
        </button>
      </div>
      ${problem && html`<p class="field-error" role="alert">${problem.message}</p>`}
      ${isOpen && html`<${Log} id=${delivery.id} attempts=${delivery.attempts} webhook=${webhook.data} />`}
    </li>
  `;
}

function due({ due_at: at }, now) {
  return Date.parse(at) > now ? `next ${ago(at, now)}` : `due ${ago(at, now)}, queued`;
}

function Log({ id, attempts, webhook }) {
  const load = useLoad((signal) => api.delivery(id, signal), [id, attempts]);
  return html`
    <${Loaded}
      load=${load}
      what="Reading attempts"
      lines=${2}
      isEmpty=${(one) => !one.attempt_log?.length}
      empty=${html`<p class="small muted">No attempt yet.</p>`}
    >
      ${(one) =>
        one.attempt_log.map((attempt) => html`
          <${Fragment} key=${attempt.id}>
            <p class="small">
              <b>Attempt ${attempt.number}</b> ${timeOf(attempt.at)}
            </p>
            <${Exchange} attempt=${attempt} webhook=${webhook} />
          <//>
        `)
      }
    <//>
  `;
}
