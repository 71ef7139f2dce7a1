/** One delivery: where it stands, what can be done about it, and its attempts. */

import { api } from "../api.js";
import { board } from "../board.js";
import { ago, plural, precisely } from "../format.js";
import { held } from "../held.js";
import { useLoad, useNow } from "../hooks.js";
import { html, useRef } from "../html.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
import { kindOfError } from "../verdict.js";
import { Attempt, AttemptTable } from "./attempt-table.js";
import { useDeliveryActions } from "./delivery-actions.js";
import { Disclosure } from "./disclosure.js";
import { Loaded } from "./states.js";
import { Status } from "./status.js";

export function Delivery({ delivery, isOpen, onToggle, onChange }) {
  const now = useNow(1_000);
  const known = useStore(board, (state) => state.webhooks.find((row) => row.id === delivery.webhook_id));
  const webhook = useLoad(
    async (signal) => (await api.webhook(delivery.webhook_id, signal)).data,
    [delivery.webhook_id],
  );
  const { buttons, problem } = useDeliveryActions(delivery, onChange);
  const result = delivery.last_status_code ?? (delivery.last_error && kindOfError(delivery.last_error));
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
            ${delivery.due_at && !delivery.in_flight && !delivery.held ? ` · ${due(delivery, now)}` : ""}
            ${delivery.finished_at && html`
              ${" · "}
              <time datetime=${delivery.finished_at} title=${precisely(delivery.finished_at)}>
                ${ago(delivery.finished_at, now)}
              </time>
            `}
          </p>
          ${delivery.held && html`<p class="small muted">${held(delivery.held, now)}</p>`}
          ${delivery.aside && html`<p class="small muted">Stepped aside: those behind it overtake it</p>`}
        </div>
        ${buttons}
        <${Disclosure} label="Attempts" isOpen=${isOpen} onToggle=${onToggle} />
      </div>
      ${problem && html`<p class="field-error" role="alert">${problem.message}</p>`}
      ${isOpen && html`<${Log} id=${delivery.id} attempts=${delivery.attempts} webhook=${webhook.data} />`}
    </li>
  `;
}

function due({ due_at: at }, now) {
  return Date.parse(at) > now ? `next ${ago(at, now)}` : `due ${ago(at, now)}, queued`;
}

export function Log({ id, attempts, webhook }) {
  const load = useLoad((signal) => api.delivery(id, signal), [id, attempts]);
  const { query } = useStore(route);
  const chosen = useRef(null);
  // The newest, unless the address says otherwise.
  const open = query.attempt ?? load.data?.attempt_log?.[0]?.id;
  const toggle = (attempt) => {
    chosen.current = attempt;
    setQuery({ delivery: id, attempt: open === attempt ? "none" : attempt });
  };
  return html`
    <${Loaded}
      load=${load}
      what="Reading attempts"
      lines=${2}
      isEmpty=${(one) => !one.attempt_log?.length}
      empty=${html`<p class="small muted">No attempts yet.</p>`}
    >
      ${(one) => html`
        <${AttemptTable} label="Attempts of the delivery">
          ${one.attempt_log.map((attempt) => html`
            <${Attempt}
              key=${attempt.id}
              attempt=${attempt}
              webhook=${webhook}
              isOpen=${open === attempt.id}
              isLinked=${query.attempt === attempt.id && chosen.current !== attempt.id}
              onToggle=${() => toggle(attempt.id)}
            />
          `)}
        <//>
      `}
    <//>
  `;
}
