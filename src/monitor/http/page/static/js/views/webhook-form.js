/** Creating and editing a webhook. The form is the person's: nothing live reaches into it. */

import { api } from "../api.js";
import { AreaField, CheckField, FormProblem, SelectField, TextField, errorsOf } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { Loaded } from "../components/states.js";
import { toast } from "../components/toast.js";
import { useAction, useLoad } from "../hooks.js";
import { html, useState } from "../html.js";
import { go } from "../router.js";
import { askForBackfill } from "./backfill.js";
import { openSecret } from "./webhook-actions.js";
import { BLANK, fromWebhook, toSpec } from "./webhook-spec.js";

export function NewWebhook() {
  const [key] = useState(() => crypto.randomUUID());
  const save = async (form) => {
    const made = await api.createWebhook(toSpec(form), key);
    go(`/webhooks/${made.id}`);
    openSecret(
      "Webhook created",
      made.secret,
      "It is shown only once. The receiver verifies signatures with it.",
    );
    return made;
  };
  return html`
    <p class="crumbs">
      <a href="#/webhooks">
        <${Icon} name="left" size=${12} /> Webhooks
      </a>
    </p>
    <h1 tabindex="-1">New webhook</h1>
    <${Form} first=${BLANK} verb="Create webhook" save=${save} back="#/webhooks" />
  `;
}

export function EditWebhook({ id }) {
  const load = useLoad((signal) => api.webhook(id, signal), [id]);
  const save = async (form) => {
    const before = load.data.data;
    const backfill = !before.enabled && form.enabled && (await askForBackfill(before));
    if (backfill === null) return undefined;
    const spec = toSpec(form, before);
    const changed = await api.changeWebhook(id, backfill ? { ...spec, backfill } : spec, load.data.etag);
    toast(backfill ? "Webhook saved. What it missed is being delivered." : "Webhook saved.");
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
        <${Form}
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

const FIELDS = [
  "/name",
  "/url",
  "/description",
  "/event_types",
  "/labels",
  "/headers",
  "/timeout_s",
  "/max_concurrency",
  "/rate_limit",
  "/retry",
  "/skip_after",
];

const ORDERS = [
  ["false", "none: side by side"],
  ["key", "by order_key: one at a time for each key"],
  ["true", "all: one at a time"],
];

function Form({ first, verb, save, back, onReload }) {
  const [form, setForm] = useState(first);
  const [local, setLocal] = useState(null);
  const action = useAction(save);
  const wrong = errorsOf(action.problem);
  const bind = (name) => ({
    value: form[name],
    onInput: (event) => setForm({ ...form, [name]: event.target.value }),
  });
  const tick = (name) => ({
    checked: form[name],
    onChange: (event) => setForm({ ...form, [name]: event.target.checked }),
  });
  const submit = (event) => {
    event.preventDefault();
    if (action.isBusy) return undefined;
    try {
      toSpec(form);
      setLocal(null);
    } catch (error) {
      return setLocal(error.message);
    }
    return action.run(form);
  };
  // While it is busy, the button keeps the focus: a dialog gives it back.
  return html`
    <form class="card form" onSubmit=${submit}>
      <${TextField} label="Name" required maxlength="200" error=${wrong("/name")} ...${bind("name")} />
      <${TextField}
        label="URL"
        type="url"
        required
        maxlength="2048"
        placeholder="https://example.com/hooks"
        class="mono"
        error=${wrong("/url")}
        hint="Deliveries are sent here by POST."
        ...${bind("url")}
      />
      <${TextField}
        label="Event types"
        required
        class="mono"
        error=${wrong("/event_types")}
        hint="Separated by spaces: order.paid, a prefix such as order.*, or * for all."
        ...${bind("eventTypes")}
      />
      <${AreaField} label="Description" maxlength="2000" error=${wrong("/description")} ...${bind("description")} />
      <${CheckField} label="Enabled" hint="A disabled webhook receives nothing." ...${tick("enabled")} />
      <details open=${form !== first && Boolean(action.problem)}>
        <summary>More: labels, headers, limits, signature</summary>
        <${AreaField}
          label="Labels"
          class="mono"
          placeholder="team=billing"
          error=${wrong("/labels")}
          hint="One name=value per line. Only events with all of them are delivered."
          ...${bind("labels")}
        />
        <${AreaField}
          label="Headers"
          class="mono"
          placeholder="X-Api-Key: secret"
          error=${wrong("/headers")}
          hint="One Name: value per line. Values are stored encrypted and never shown again; *** keeps a stored one, unless the URL moves to another server."
          ...${bind("headers")}
        />
        <div class="row">
          <${TextField}
            label="Attempt timeout, s"
            type="number"
            min="1"
            max="30"
            step="any"
            error=${wrong("/timeout_s")}
            ...${bind("timeout")}
          />
          <${TextField}
            label="Concurrent deliveries"
            type="number"
            min="1"
            max="1000"
            error=${wrong("/max_concurrency")}
            ...${bind("concurrency")}
          />
        </div>
        <div class="row">
          <${TextField}
            label="Rate limit, 1/s"
            type="number"
            min="0.001"
            step="any"
            placeholder="none"
            error=${wrong("/rate_limit")}
            ...${bind("perSecond")}
          />
          <${TextField} label="of which at once" type="number" min="1" placeholder="1" ...${bind("burst")} />
        </div>
        <${TextField}
          label="Delay before each attempt, s"
          class="mono"
          error=${wrong("/retry")}
          hint="The first is 0. One delay per attempt."
          ...${bind("schedule")}
        />
        <div class="row">
          <${SelectField}
            label="After Monitor disabled it"
            options=${[
              ["never", "it stays disabled"],
              ["probe", "probes; one that succeeds enables it"],
            ]}
            ...${bind("reenable")}
          />
        </div>
        <div class="row">
          <${SelectField}
            label="Signature"
            options=${[
              ["v1", "v1, HMAC-SHA256"],
              ["v1a", "v1a, Ed25519"],
            ]}
            ...${bind("signature")}
          />
          <${SelectField}
            label="Body"
            options=${[
              ["standard", "the payload as posted"],
              ["slack", "Slack message"],
              ["discord", "Discord message"],
              ["teams", "Teams message"],
            ]}
            ...${bind("bodyFormat")}
          />
        </div>
        <${SelectField}
          label="Order"
          options=${ORDERS}
          hint="Keys go side by side; events without a key go in no order."
          ...${bind("ordered")}
        />
        ${form.ordered !== "false" && html`
          <${TextField}
            label="Skip after failed attempts"
            type="number"
            min="1"
            max="50"
            placeholder="never: block"
            error=${wrong("/skip_after")}
            hint="A delivery that fails holds those behind it until it is delivered or its attempts are used up. With a number, they overtake it after so many, and it goes on with its own retries."
            ...${bind("skipAfter")}
          />
        `}
      </details>
      ${local && html`
        <p class="field-error" role="alert">
          <${Icon} name="warning" size=${13} /> ${local}
        </p>
      `}
      <${FormProblem} problem=${action.problem} fields=${FIELDS} />
      ${action.problem?.status === 412 && onReload && html`
        <p>
          <button type="button" onClick=${onReload}>
            Reload
          </button>${" "}
          Your changes will be lost.
        </p>
      `}
      <footer class="form-foot">
        <a class="button" href=${back}>Cancel</a>
        <button class="primary" aria-disabled=${action.isBusy ? "true" : undefined}>
          ${action.isBusy ? "Saving…" : verb}
        </button>
      </footer>
    </form>
  `;
}
