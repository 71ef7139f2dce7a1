/** What people do to a webhook. What the role may not do is not offered. */

import { api } from "../api.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { ms } from "../format.js";
import { useAction } from "../hooks.js";
import { html, useEffect } from "../html.js";
import { useKeys } from "../keys.js";
import { go } from "../router.js";
import { may } from "../session.js";
import { ActionDialog, Dialog } from "./dialog.js";
import { SelectField, TextField } from "./fields.js";
import { openReplay } from "./replay.js";
import { openSecret } from "./secret.js";
import { Status } from "./status.js";
import { toast } from "./toast.js";

export function Actions({ webhook, onChange }) {
  const hold = useAction(async () => {
    await (webhook.paused_at ? api.resumeWebhook(webhook.id) : api.pauseWebhook(webhook.id));
    toast(
      webhook.paused_at ? "Deliveries are released at a bounded rate." : "Deliveries are held; none are lost.",
    );
    onChange();
    return true;
  });
  useKeys({
    e: () => may("admin") && go(`/webhooks/${webhook.id}/edit`),
    t: () => may("operator") && openTest(webhook),
  });
  useEffect(() => {
    if (hold.problem) toast(hold.problem.message, { tone: "bad" });
  }, [hold.problem]);
  if (!may("operator")) return null;
  return html`
    <div class="actions">
      <button type="button" onClick=${() => openTest(webhook)}>Send test</button>
      <button type="button" aria-disabled=${hold.isBusy ? "true" : undefined} onClick=${hold.run}>
        ${webhook.paused_at ? "Resume" : "Pause"}
      </button>
      <button type="button" onClick=${() => openReplay(webhook)}>Replay</button>
      ${may("admin") && html`
        <a class="button" href=${`#/webhooks/${webhook.id}/edit`}>Edit</a>
        <button type="button" onClick=${() => openRotate(webhook)}>Rotate secret</button>
        <button type="button" class="danger" onClick=${() => openDelete(webhook)}>Delete</button>
      `}
    </div>
  `;
}

export function openTest(webhook) {
  const done = (attempt) =>
    openDialog(() => html`
      <${Dialog} title="Test message" onClose=${closeDialog}>
        <div class="dialog-body">
          <p>
            <${Status} of=${attempt.ok ? "delivered" : "failed"} text=${attempt.ok ? "Delivered" : "Failed"} />${" "}
            ${attempt.status_code ?? attempt.error} after ${ms(attempt.latency_ms)}
            ${attempt.error_detail && !attempt.ok ? `: ${attempt.error_detail}` : ""}
          </p>
          ${attempt.response_body && html`
            <h3>Response</h3>
            <pre class="body" tabindex="0">${attempt.response_body}</pre>
          `}
        </div>
        <footer class="dialog-foot">
          <button type="button" class="primary" onClick=${closeDialog}>Close</button>
        </footer>
      <//>
    `);
  openDialog(() => html`
    <${ActionDialog}
      title="Send a test message"
      verb="Send"
      action=${() => api.testWebhook(webhook.id)}
      onDone=${done}
      onClose=${closeDialog}
    >
      <p>
        A signed <code>monitor.ping</code> goes to <span class="mono break">${webhook.url}</span> now. It does
        not count for health or metrics.
      </p>
    <//>
  `);
}

const OVERLAPS = [
  ["0", "at once"],
  ["3600", "after an hour"],
  ["86400", "after a day"],
  ["604800", "after a week"],
];

function openRotate(webhook) {
  const act = (form) => api.rotateSecret(webhook.id, Number(form.get("overlap")));
  const done = ({ secret }) =>
    openSecret({
      title: "New signing secret",
      secret,
      note: "The secret is shown only once. Configure it in the receiver before the old secret stops signing.",
      signature: webhook.signature,
    });
  openDialog(() => html`
    <${ActionDialog}
      title="Rotate the signing secret"
      verb="Rotate"
      action=${act}
      onDone=${done}
      onClose=${closeDialog}
    >
      <p>
        The receiver of <b>${webhook.name}</b> gets messages signed with both secrets until the old one stops
        signing.
      </p>
      <${SelectField} label="The old secret stops signing" name="overlap" options=${OVERLAPS} value="86400" />
    <//>
  `);
}

function openDelete(webhook) {
  const act = async (form) => {
    if (form.get("name") !== webhook.name) return undefined;
    await api.deleteWebhook(webhook.id);
    return true;
  };
  const done = () => {
    closeDialog();
    toast(`${webhook.name} deleted.`);
    go("/webhooks");
  };
  openDialog(() => html`
    <${ActionDialog}
      title="Delete the webhook"
      verb="Delete"
      tone="danger"
      action=${act}
      onDone=${done}
      onClose=${closeDialog}
    >
      <p>
        Pending deliveries of <b>${webhook.name}</b> are cancelled. Its history is kept until its retention ends.
        This cannot be undone.
      </p>
      <${TextField}
        label="Type its name to confirm: ${webhook.name}"
        name="name"
        required
        pattern=${literal(webhook.name)}
        title="The name of the webhook"
        autofocus
      />
    <//>
  `);
}

/** A pattern that matches *text* and nothing else. */
function literal(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/\-&!#%,:;<=>@`~"']/g, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}
