/** Creating and editing a webhook. The form is the person's: nothing live reaches into it. */

import { api } from "../api.js";
import { askForBackfill } from "../components/backfill.js";
import { Icon } from "../components/icons.js";
import { openSecret } from "../components/secret.js";
import { Loaded } from "../components/states.js";
import { toast } from "../components/toast.js";
import { openTest } from "../components/webhook-test.js";
import { WebhookForm } from "../components/webhook-fields.js";
import { useLoad } from "../hooks.js";
import { html, useState } from "../html.js";
import { idempotencyKey } from "../idempotency.js";
import { go } from "../router.js";
import { BLANK, fromWebhook, toSpec } from "../webhook-spec.js";

export function NewWebhook() {
  const [key] = useState(idempotencyKey);
  const save = async (form, release) => {
    const made = await api.createWebhook(toSpec(form), key);
    release();
    go(`/webhooks/${made.id}`);
    openSecret({
      title: "Webhook created",
      secret: made.secret,
      note: "The secret is shown only once. The receiver verifies signatures with it.",
      signature: made.signature,
      onTest: () => openTest(made, () => {}),
    });
    return made;
  };
  return html`
    <p class="crumbs">
      <a href="#/webhooks">
        <${Icon} name="left" size=${12} /> Webhooks
      </a>
    </p>
    <h1 tabindex="-1">New webhook</h1>
    <${WebhookForm} first=${BLANK} isNew verb="Create webhook" save=${save} back="#/webhooks" />
  `;
}

export function EditWebhook({ id }) {
  const load = useLoad((signal) => api.webhook(id, signal), [id]);
  const save = async (form, release) => {
    const before = load.data.data;
    const backfill = !before.enabled && form.enabled && (await askForBackfill(before));
    if (backfill === null) return undefined;
    const spec = toSpec(form, before);
    const changed = await api.changeWebhook(id, backfill ? { ...spec, backfill } : spec, load.data.etag);
    toast(backfill ? "Webhook saved. What it missed is being delivered." : "Webhook saved.");
    release();
    go(`/webhooks/${id}`);
    return changed;
  };
  return html`
    <p class="crumbs">
      <a href=${`#/webhooks/${id}`}>
        <${Icon} name="left" size=${12} /> Back to the webhook
      </a>
    </p>
    <h1 tabindex="-1">Edit webhook</h1>
    <${Loaded} load=${load} what="Reading the webhook">
      ${({ data, etag }) => html`
        <${WebhookForm}
          key=${etag}
          first=${fromWebhook(data)}
          verb="Save changes"
          save=${save}
          back="#/webhooks/${id}"
          onReload=${load.reload}
        />
      `}
    <//>
  `;
}
