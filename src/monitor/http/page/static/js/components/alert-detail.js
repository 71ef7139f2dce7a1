/** One alert: what fails, since when, what was done, and what can be done now. */

import { nowText, worstText } from "../alert-words.js";
import { api } from "../api.js";
import { onFrame, takeAlert } from "../board.js";
import { ago, at, capital, precisely } from "../format.js";
import { useAction, useFrames, useLoad, useNow } from "../hooks.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { may } from "../session.js";
import { useTitle } from "../title.js";
import { openAcknowledge, openResolve } from "./alert-actions.js";
import { AlertChart, CauseLinks, Evidence, FailedExchange } from "./alert-cause.js";
import { CommentBox, History } from "./alert-history.js";
import { FormProblem } from "./fields.js";
import { Icon } from "./icons.js";
import { Loaded } from "./states.js";
import { AlertState, Status } from "./status.js";
import { toast } from "./toast.js";

/** Who was told, and the figures of now, change without a frame. */
const REFRESH_MS = 15_000;

/**
 * @param {{id: string, back: string, query: object, following: object|null}} props `following` is the next alert of the
 *   queue that is worked through
 */
export function AlertDetail({ id, back, query, following }) {
  const load = useLoad((signal) => api.alert(id, signal), [id], { everyMs: REFRESH_MS });
  useFrames(onFrame, ({ type, data }) => {
    if (type.startsWith("alert_") && data.id === id) load.reload();
  });
  useTitle(load.data?.title ?? "");
  return html`
    <section class="panel detail-pane" aria-label="Alert">
      <a class="button bare close" href=${back} aria-label="Close the alert">
        <${Icon} name="close" />
      </a>
      <${Loaded} load=${load} what="Reading the alert" lines=${6}>
        ${(alert) => html`<${Detail} alert=${alert} query=${query} following=${following} />`}
      <//>
    </section>
  `;
}

function Detail({ alert, query, following }) {
  const now = useNow();
  return html`
    <p class="meta">
      <${Status} of=${alert.severity} /> <${AlertState} alert=${alert} /> <span class="tag">${alert.kind}</span>
    </p>
    <h2 class="alert-title">${alert.title}</h2>
    ${alert.state !== "resolved" && nowText(alert) && html`
      <p class="small">Now: ${nowText(alert)}</p>
    `}
    ${alert.superseded && html`
      <p class="small">
        Replaced by <a href="#/alerts?kind=mass_failure&state=all">the alert about all webhooks</a>.
      </p>
    `}
    <p class="muted small">
      ${worstText(alert) && html`${capital(worstText(alert))}. `}Raised${" "}
      <time datetime=${alert.raised_at} title=${precisely(alert.raised_at)}>${ago(alert.raised_at, now)}</time>
      , ${at(alert.raised_at)}${alert.count > 1 ? ` · ${alert.count} times` : ""}
      ${alert.acknowledged_by && ` · acknowledged by ${alert.acknowledged_by}`}
      ${alert.ack_expires_at && ` until ${at(alert.ack_expires_at)}`}
    </p>
    ${may("operator") && html`<${Actions} alert=${alert} query=${query} />`}
    ${following && html`
      <p class="next-alert small">
        <a href=${href(`/alerts/${following.id}`, query)}>
          <${Icon} name="right" size=${12} /> Next: ${following.title}
        </a>
      </p>
    `}
    ${alert.note && html`<blockquote>${alert.note}</blockquote>`}
    ${alert.webhook_id ? html`
      <${CauseLinks} alert=${alert} />
      ${alert.last_failed_attempt && html`<${FailedExchange} alert=${alert} />`}
    ` : html`
      <p class="meta small alert-links"><a href="#/webhooks?status=unavailable">Unavailable webhooks</a></p>
    `}
    <h3>Evidence</h3>
    <${Evidence} alert=${alert} />
    ${alert.webhook_id && html`<${AlertChart} alert=${alert} />`}
    <h3>History</h3>
    <${CommentBox} id=${alert.id} />
    <${History} entries=${alert.history ?? []} title=${alert.title} />
  `;
}

function Actions({ alert, query }) {
  const back = useAction(async () => {
    takeAlert(await api.unacknowledge(alert.id));
    toast("The alert is open again.");
    return true;
  });
  const silence = { webhook: alert.webhook_id, kind: alert.kind, alert: alert.id, state: query.state };
  const isOpen = alert.state === "pending";
  // One button for both, so that it keeps the focus.
  return html`
    <div class="actions">
      ${alert.state !== "resolved" && html`
        <button
          type="button"
          class=${isOpen ? "primary" : ""}
          aria-disabled=${back.isBusy ? "true" : undefined}
          onClick=${isOpen ? () => openAcknowledge([alert]) : back.run}
        >
          ${isOpen ? "Acknowledge" : "Take back acknowledgement"}
        </button>
      `}
      ${alert.state !== "resolved" && html`
        <button type="button" onClick=${() => openResolve(alert)}>Resolve</button>
      `}
      <a class="button" href=${href("/silences/new", silence)}>Silence</a>
    </div>
    <${FormProblem} problem=${back.problem} />
  `;
}
