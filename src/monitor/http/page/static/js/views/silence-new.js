/** A new silence, and the alerts that it would match. */

import { api } from "../api.js";
import { FormProblem, SelectField, TextField, errorsOf } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded } from "../components/states.js";
import { Status } from "../components/status.js";
import { toast } from "../components/toast.js";
import { at, fieldTime, plural, timeOfField } from "../format.js";
import { useAction, useLoad, useSettled } from "../hooks.js";
import { html, useState } from "../html.js";
import { go, href, route } from "../router.js";
import { useStore } from "../store.js";
import { ALERT_KINDS, LENGTHS } from "../words.js";
import { zoneName } from "../zone.js";

const DAY_MS = 86_400_000;
const UNTIL = "until";
const CHOICES = [...LENGTHS, [UNTIL, "until a time"]];

export function NewSilence() {
  const { query } = useStore(route);
  // From an alert, one comes back to it.
  const back = query.alert ? [`/alerts/${query.alert}`, { state: query.state }] : ["/silences"];
  const [form, setForm] = useState({
    reason: "",
    length: "7200",
    until: fieldTime(new Date(Date.now() + DAY_MS)),
    webhook: query.webhook ?? "",
    label: query.label ?? "",
    kind: query.kind ?? "",
  });
  const webhook = useLoad(
    async (signal) => (query.webhook ? (await api.webhook(query.webhook, signal)).data : null),
    [query.webhook],
  );
  const bind = (name) => ({
    value: form[name],
    onInput: (event) => setForm({ ...form, [name]: event.target.value }),
  });
  const action = useAction(async () => {
    await api.silence(specOf(form));
    toast(`Silenced until ${at(specOf(form).ends_at)}.`);
    go(...back);
    return true;
  });
  const wrong = errorsOf(action.problem);
  const lengthError = form.length === UNTIL ? null : wrong("/ends_at");
  return html`
    <p class="crumbs">
      <a href="#/silences">
        <${Icon} name="left" size=${12} /> Silences
      </a>
    </p>
    <h1 tabindex="-1">New silence</h1>
    <div class="split has-detail even">
      <form class="card form" onSubmit=${(event) => (event.preventDefault(), action.run())}>
        <${TextField}
          label="Reason"
          required
          maxlength="500"
          placeholder="Planned upgrade of the receiver"
          error=${wrong("/reason")}
          ...${bind("reason")}
        />
        <${SelectField} label="Duration" options=${CHOICES} error=${lengthError} ...${bind("length")} />
        ${form.length === UNTIL && html`
          <${TextField}
            label="Ends (${zoneName()})"
            type="datetime-local"
            required
            error=${wrong("/ends_at")}
            ...${bind("until")}
          />
        `}
        <fieldset>
          <legend>Match (all conditions)</legend>
          ${query.webhook && html`
            <${SelectField}
              label="Webhook"
              options=${[
                [query.webhook, webhook.data?.name ?? query.webhook],
                ["", "any"],
              ]}
              error=${wrong("/webhook_id")}
              ...${bind("webhook")}
            />
          `}
          <${TextField}
            label="Label of the webhook"
            class="mono"
            placeholder="team=billing"
            error=${wrong("/label")}
            ...${bind("label")}
          />
          <${SelectField}
            label="Kind of alert"
            options=${[["", "any"], ...ALERT_KINDS.map((kind) => [kind, kind])]}
            error=${wrong("/kind")}
            ...${bind("kind")}
          />
        </fieldset>
        <${FormProblem}
          problem=${action.problem}
          fields=${["/reason", "/ends_at", "/webhook_id", "/label", "/kind"]}
        />
        <footer class="form-foot">
          <a class="button" href=${href(...back)}>Cancel</a>
          <button class="primary" aria-disabled=${action.isBusy ? "true" : undefined}>Silence</button>
        </footer>
      </form>
      <${Preview} form=${form} />
    </div>
  `;
}

/** A field that was emptied is no time: the server says what is wrong with the past. */
function endOf({ length, until }) {
  if (length !== UNTIL) return new Date(Date.now() + Number(length) * 1_000);
  return new Date(timeOfField(until).getTime() || 0);
}

function specOf(form) {
  const spec = {
    reason: form.reason.trim() || "preview",
    ends_at: endOf(form).toISOString(),
  };
  if (form.webhook) spec.webhook_id = form.webhook;
  if (form.label.trim()) spec.label = form.label.trim();
  if (form.kind) spec.kind = form.kind;
  return spec;
}

function Preview({ form }) {
  const { webhook, label, kind } = useSettled(form, 300);
  const isBlank = !webhook && !label.trim() && !kind;
  const load = useLoad(
    async () =>
      isBlank ? { webhooks: 0, alerts: [] } : api.previewSilence(specOf({ ...form, webhook, label, kind })),
    [webhook, label, kind],
  );
  return html`
    <section class="panel" aria-labelledby="preview" aria-live="polite">
      <header class="panel-head">
        <h2 id="preview">Matches now</h2>
      </header>
      ${isBlank ? html`
        <${Empty} title="Nothing yet" icon="silences">Give a webhook, a label or a kind.<//>
      ` : html`
        <${Loaded} load=${load} what="Counting" lines=${3}>
          ${(preview) => html`
            <p>
              ${plural(preview.webhooks, "webhook")},${" "}
              ${preview.alerts.length === 50
                ? "50 or more open alerts"
                : plural(preview.alerts.length, "open alert")}
              .
            </p>
            <ul class="list">
              ${preview.alerts.map((alert) => html`
                <li class="worst-row" key=${alert.id}>
                  <${Status} of=${alert.severity} />
                  <a class="grow" href=${href(`/alerts/${alert.id}`)}>${alert.title}</a>
                </li>
              `)}
            </ul>
          `}
        <//>
      `}
    </section>
  `;
}
