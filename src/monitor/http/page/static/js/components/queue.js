/** What waits for a webhook, why, and when it is tried next; with a button that sends it now. */

import { api } from "../api.js";
import { at, count, duration, plural, precisely } from "../format.js";
import { held } from "../held.js";
import { useAction, useNow } from "../hooks.js";
import { html, useEffect } from "../html.js";
import { queued, sentNow } from "../queued.js";
import { may } from "../session.js";
import { Icon } from "./icons.js";
import { toast } from "./toast.js";

export function Queue({ webhook, onChange }) {
  const now = useNow(1_000);
  const send = useSendNow(webhook, onChange);
  const { backlog } = webhook;
  if (!backlog) return null;
  const { oldest_due_at: oldest, disables_at: disables } = backlog;
  const isHeldByUser = !webhook.enabled || webhook.paused_at;
  const isFailing = backlog.breaker.state !== "closed" && !isHeldByUser;
  const waits = backlog.waiting > 0;
  const isShown = waits || backlog.breaker.state !== "closed";
  return html`
    <section class="panel queue" aria-labelledby="queue">
      <h2 id="queue">Queue</h2>
      <p class="queue-words">
        <b>${queued(backlog)}</b>
        ${waits && oldest && html`
          <span title=${precisely(oldest)}>oldest ${duration((now - Date.parse(oldest)) / 1_000)}</span>
        `}
        ${backlog.in_flight > 0 && html`<span>${count(backlog.in_flight)} in flight</span>`}
        ${reason(webhook, now) && html`<span class="status warn"><${Icon} name="pending" />${reason(webhook, now)}</span>`}
        ${disables && isFailing && html`
          <span class="muted" title=${precisely(disables)}>${disabling(disables, now)}</span>
        `}
      </p>
      ${may("operator") && !isHeldByUser && isShown && html`
        <button type="button" aria-disabled=${send.isBusy ? "true" : undefined} onClick=${() => send.isBusy || send.run()}>
          Send now
        </button>
      `}
    </section>
  `;
}

/** What keeps the queue from moving, or when it moves; nothing while it does. */
function reason({ held: what, backlog, enabled, paused_at: paused }, now) {
  if (what) return !enabled || paused ? null : held(what, now);
  const { waiting, oldest_due_at: oldest, next_try_at: next } = backlog;
  return waiting && !oldest && next ? `Next attempt in ${duration(Math.max((Date.parse(next) - now) / 1_000, 1))}` : null;
}

function disabling(time, now) {
  if (Date.parse(time) <= now) return "Disabled at the next failure";
  return `Disabled on ${at(time)} unless a delivery succeeds`;
}

/** Sends what waits, and says what came of it. */
export function useSendNow(webhook, onChange) {
  const send = useAction(async () => {
    const done = await api.sendNow(webhook.id);
    toast(sentNow(done, webhook.backlog, Date.now()), { tone: done.held ? "info" : "ok" });
    onChange();
    return done;
  });
  useEffect(() => {
    if (send.problem) toast(send.problem.message, { tone: "bad" });
  }, [send.problem]);
  return send;
}

/** A sentence below a test that arrived, with the button that sends what waits. */
export function OfferSend({ webhook, onSent }) {
  const send = useSendNow(webhook, onSent);
  const { waiting } = webhook.backlog;
  return html`
    <p class="offer">
      <span>${plural(waiting, "delivery is", "deliveries are")} queued.</span>
      <button type="button" class="small" aria-disabled=${send.isBusy ? "true" : undefined}
        onClick=${() => send.isBusy || send.run()}>Send what is queued</button>
    </p>
  `;
}
