/** Adds a destination of alerts: its kind, a URL, done. */

import { api } from "../api.js";
import { ALERT_CHOICES, DESTINATIONS, destinationSpec } from "../destination-kinds.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { html } from "../html.js";
import { idempotencyKey } from "../idempotency.js";
import { ActionDialog } from "./dialog.js";
import { SelectField, TextField } from "./fields.js";
import { Icon } from "./icons.js";
import { openSecret } from "./secret.js";
import { toast } from "./toast.js";

/** @param {{onAdd: () => void}} props */
export function AddDestination({ onAdd }) {
  return html`
    <section class="panel" aria-labelledby="add-destination">
      <header class="panel-head"><h2 id="add-destination">Add a destination</h2></header>
      <div class="actions">
        ${DESTINATIONS.map((kind) => html`
          <button key=${kind.format} type="button" onClick=${() => openAdd(kind, onAdd)}>
            <${Icon} name="plus" size=${13} /> ${kind.name}
          </button>
        `)}
      </div>
    </section>
  `;
}

function openAdd(kind, onAdd) {
  const { format, name, placeholder, hint, url, secret } = kind;
  const key = idempotencyKey();
  const done = (webhook) => {
    onAdd();
    if (format === "standard") {
      openSecret({
        title: "Destination added",
        secret: webhook.secret,
        note: "Shown only once. Your program verifies signatures with it.",
        signature: webhook.signature,
      });
      return;
    }
    closeDialog();
    toast(`${webhook.name} is told of alerts. Send a sample to see one.`);
  };
  openDialog(() => html`
    <${ActionDialog}
      title="Add ${name}"
      verb="Add"
      action=${(form) => api.createWebhook(destinationSpec(kind, form), key)}
      onDone=${done}
      onClose=${closeDialog}
    >
      <${TextField}
        label="URL"
        name="url"
        type="url"
        class="mono"
        required
        autofocus
        placeholder=${placeholder}
        defaultValue=${url}
        hint=${hint}
      />
      ${secret && html`
        <${TextField}
          label=${secret.label}
          name="key"
          class="mono"
          required=${!secret.isOptional}
          hint="${secret.hint} Stored encrypted and never shown again."
        />
      `}
      <${TextField} label="Name" name="name" required maxlength="200" defaultValue=${name} />
      <${SelectField} label="Alerts" name="severity" options=${ALERT_CHOICES} value="" />
    <//>
  `);
}
