/** Dialogs that rotate the secret of a webhook, or delete it. */

import { api } from "../api.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { html } from "../html.js";
import { go } from "../router.js";
import { ActionDialog } from "./dialog.js";
import { SelectField, TextField } from "./fields.js";
import { openSecret } from "./secret.js";
import { toast } from "./toast.js";

const OVERLAPS = [
  ["0", "at once"],
  ["3600", "after an hour"],
  ["86400", "after a day"],
  ["604800", "after a week"],
];

export function openRotate(webhook, onChange) {
  const act = (form) => api.rotateSecret(webhook.id, Number(form.get("overlap")));
  const done = ({ secret }) => {
    onChange();
    openSecret({
      title: "New signing secret",
      secret,
      note: "The secret is shown only once. Configure it in the receiver before the old secret stops signing.",
      signature: webhook.signature,
    });
  };
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

export function openDelete(webhook) {
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
        Queued deliveries of <b>${webhook.name}</b> are cancelled. History is kept until it expires.
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
