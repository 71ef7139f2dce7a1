/** Silences: muted notifications, and a preview of the alerts they match. */

import { api } from "../api.js";
import { ActionDialog } from "../components/dialog.js";
import { FormProblem, SelectField, TextField, errorsOf } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded } from "../components/states.js";
import { Status } from "../components/status.js";
import { toast } from "../components/toast.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { ago, at, plural, precisely } from "../format.js";
import { useAction, useLoad, useNow, useSettled } from "../hooks.js";
import { html, useState } from "../html.js";
import { go, href, route, setQuery } from "../router.js";
import { useStore } from "../store.js";

const KINDS = [
  "failing",
  "latency",
  "volume",
  "disabling",
  "disabled",
  "quarantined",
  "expired",
  "mass_failure",
];
const LENGTHS = [
  ["1800", "for 30 minutes"],
  ["7200", "for 2 hours"],
  ["28800", "for 8 hours"],
  ["86400", "for a day"],
  ["604800", "for a week"],
  ["2592000", "for 30 days"],
];

export function Silences() {
  const { query } = useStore(route);
  const active = query.active !== "false";
  const load = useLoad((signal) => api.silences({ active, limit: 200 }, signal), [active], { everyMs: 30_000 });
  return html`
    <p class="crumbs">
      <a href="#/alerts">
        <${Icon} name="left" size=${12} /> Alerts
      </a>
    </p>
    <div class="title-row">
      <h1 tabindex="-1">Silences</h1>
      <a class="button primary" href="#/silences/new">
        <${Icon} name="plus" /> New silence
      </a>
    </div>
    <div class="toolbar">
      <div class="segments" role="group" aria-label="Filter silences">
        <button type="button" aria-pressed=${active} onClick=${() => setQuery({ active: "" })}>
          Active
        </button>
        <button type="button" aria-pressed=${!active} onClick=${() => setQuery({ active: "false" })}>
          Ended
        </button>
      </div>
    </div>
    <section class="panel" aria-label="List of silences">
      <${Loaded}
        load=${load}
        what="Reading silences"
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title=${active ? "No active silences" : "No ended silences"} icon="silences">
          A silence mutes notifications. Alerts are still raised and shown.
        <//>`}
      >
        ${(page) => html`
          <ul class="list">
            ${page.items.map((silence) => html`
              <${Item} key=${silence.id} silence=${silence} onEnd=${load.reload} />
            `)}
          </ul>
        `}
      <//>
    </section>
  `;
}

function Item({ silence, onEnd }) {
  const now = useNow();
  const what = [
    silence.kind && `kind ${silence.kind}`,
    silence.label && `label ${silence.label}`,
    silence.webhook_id && "one webhook",
  ]
    .filter(Boolean)
    .join(", ");
  const end = () =>
    openDialog(() => html`
      <${ActionDialog}
        title="End the silence"
        verb="End silence"
        action=${() => api.endSilence(silence.id)}
        onClose=${closeDialog}
        onDone=${() => (closeDialog(), toast("The silence has ended."), onEnd())}
      >
        <p>${silence.reason}</p>
        <p>Alerts that are still open are notified.</p>
      <//>
    `);
  return html`
    <li class="worst-row">
      <span class="status ${silence.active ? "info" : "none"}">
        <${Icon} name="silences" />
        ${silence.active ? "Active" : "Ended"}
      </span>
      <div class="grow">
        <b>${silence.reason}</b>
        <p class="small muted">
          ${what} ${silence.webhook_id && html`<a href=${`#/webhooks/${silence.webhook_id}`}>show</a>`} · by${" "}
          ${silence.created_by} · ${plural(silence.matches, "open alert")} silenced
        </p>
      </div>
      <time class="small muted" datetime=${silence.ends_at} title=${precisely(silence.ends_at)}>
        ${silence.active ? "ends" : "ended"} ${ago(silence.ends_at, now)}
      </time>
      ${silence.active && html`
        <button type="button" class="small" aria-label="End: ${silence.reason}" onClick=${end}>End</button>
      `}
    </li>
  `;
}

export function NewSilence() {
  const { query } = useStore(route);
  const [form, setForm] = useState({
    reason: "",
    length: "7200",
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
    go("/silences");
    return true;
  });
  const wrong = errorsOf(action.problem);
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
        <${SelectField} label="Duration" options=${LENGTHS} error=${wrong("/ends_at")} ...${bind("length")} />
        <fieldset>
          <legend>Matchers: all given must match</legend>
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
            options=${[["", "any"], ...KINDS.map((kind) => [kind, kind])]}
            error=${wrong("/kind")}
            ...${bind("kind")}
          />
        </fieldset>
        <${FormProblem}
          problem=${action.problem}
          fields=${["/reason", "/ends_at", "/webhook_id", "/label", "/kind"]}
        />
        <footer class="form-foot">
          <a class="button" href="#/silences">Cancel</a>
          <button class="primary" disabled=${action.isBusy}>Silence</button>
        </footer>
      </form>
      <${Preview} form=${form} />
    </div>
  `;
}

function specOf(form) {
  const spec = {
    reason: form.reason.trim() || "preview",
    ends_at: new Date(Date.now() + Number(form.length) * 1_000).toISOString(),
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
