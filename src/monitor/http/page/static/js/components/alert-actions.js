/** What people do to alerts: acknowledge one or many, resolve. */

import { api } from "../api.js";
import { takeAlert } from "../board.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { plural } from "../format.js";
import { html } from "../html.js";
import { SHORT_LENGTHS } from "../words.js";
import { ActionDialog } from "./dialog.js";
import { AreaField, SelectField } from "./fields.js";
import { toast } from "./toast.js";

const NEVER = "";
const EXPIRIES = [[NEVER, "until it is resolved or escalates"], ...SHORT_LENGTHS];

/** @param {object[]} alerts at least one */
export function openAcknowledge(alerts) {
  const [first] = alerts;
  const act = async (form) => {
    const body = { note: form.get("note") || null };
    const seconds = form.get("expiry");
    if (seconds) body.expires_at = new Date(Date.now() + Number(seconds) * 1_000).toISOString();
    if (alerts.length === 1) {
      takeAlert(await api.acknowledge(first.id, body));
      return { acknowledged: [first.id], skipped: [] };
    }
    const answer = await api.acknowledgeMany({ ...body, ids: alerts.map((alert) => alert.id) });
    const done = new Set(answer.acknowledged);
    // The answer names ids; the feed brings the rest.
    alerts
      .filter((alert) => done.has(alert.id))
      .forEach((alert) => takeAlert({ ...alert, state: "acknowledged" }));
    return answer;
  };
  const done = ({ acknowledged, skipped }) => {
    closeDialog();
    const rest = skipped.length ? `; ${skipped.length} skipped: ${skipped[0].reason}` : "";
    toast(`${plural(acknowledged.length, "alert")} acknowledged${rest}.`, {
      tone: skipped.length ? "warn" : "ok",
    });
  };
  openDialog(() => html`
    <${ActionDialog}
      title=${alerts.length === 1 ? "Acknowledge alert" : `Acknowledge ${alerts.length} alerts`}
      verb="Acknowledge"
      action=${act}
      onDone=${done}
      onClose=${closeDialog}
    >
      <ul class="quoted">
        ${alerts.slice(0, 5).map((alert) => html`<li>${alert.title}</li>`)}
        ${alerts.length > 5 && html`<li>and ${alerts.length - 5} more</li>`}
      </ul>
      <${AreaField}
        label="Note"
        name="note"
        maxlength="2000"
        hint="Findings and actions. Visible to all users."
        autofocus
      />
      <${SelectField} label="Acknowledged" name="expiry" options=${EXPIRIES} value=${NEVER} />
    <//>
  `);
}

export function openResolve(alert) {
  const act = (form) => api.resolve(alert.id, { note: form.get("note") || null });
  const done = (resolved) => {
    takeAlert(resolved);
    closeDialog();
    toast("Alert resolved.");
  };
  openDialog(() => html`
    <${ActionDialog} title="Resolve alert" verb="Resolve" action=${act} onDone=${done} onClose=${closeDialog}>
      <ul class="quoted">
        <li>${alert.title}</li>
      </ul>
      <p>A cause that still holds is not raised again for a day. One that clears and returns is.</p>
      <${AreaField}
        label="Note"
        name="note"
        maxlength="2000"
        hint="Cause and remedy, for later reference."
        autofocus
      />
    <//>
  `);
}
