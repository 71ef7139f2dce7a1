/** A new silence, when it would be active, and what it would match. */

import { api } from "../api.js";
import { CheckField, FormProblem, SelectField, TextField, errorsOf } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { SilenceTime } from "../components/silence-time.js";
import { Empty, Loaded } from "../components/states.js";
import { Status } from "../components/status.js";
import { toast } from "../components/toast.js";
import { at, fieldTime, plural } from "../format.js";
import { useAction, useLoad, useSettled } from "../hooks.js";
import { html, useState } from "../html.js";
import { go, href, route } from "../router.js";
import { inWords, ruleOf, specOf } from "../silence-spec.js";
import { useStore } from "../store.js";
import { ALERT_KINDS } from "../words.js";
import { zoneName } from "../zone.js";

const HOUR_MS = 3_600_000;
const FIELDS = [
  "/reason",
  "/starts_at",
  "/duration_s",
  "/ends_at",
  "/recurrence/rrule",
  "/recurrence/timezone",
  "/hold_deliveries",
  "/webhook_id",
  "/label",
  "/kind",
];

export function NewSilence() {
  const { query } = useStore(route);
  // From an alert, one comes back to it.
  const back = query.alert ? [`/alerts/${query.alert}`, { state: query.state }] : ["/silences"];
  const [form, setForm] = useState({
    reason: "",
    begin: "now",
    starts: fieldTime(new Date(Date.now() + HOUR_MS)),
    length: "7200",
    until: fieldTime(new Date(Date.now() + 24 * HOUR_MS)),
    repeat: "",
    days: [],
    rule: "",
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    last: "",
    hold: false,
    webhook: query.webhook ?? "",
    label: query.label ?? "",
    kind: query.kind ?? "",
  });
  const webhook = useLoad(
    async (signal) => (query.webhook ? (await api.webhook(query.webhook, signal)).data : null),
    [query.webhook],
  );
  const set = (changes) => setForm({ ...form, ...changes });
  const bind = (name) => ({
    value: form[name],
    onInput: (event) => set({ [name]: event.target.value }),
  });
  const action = useAction(async () => {
    const made = await api.silence(specOf(form));
    toast(made.active ? `Silenced until ${at(made.active_until)}.` : `Silenced from ${at(made.next_starts_at)}.`);
    go(...back);
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
        <${SilenceTime} form=${form} bind=${bind} set=${set} wrong=${wrong} />
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
        ${(form.webhook || form.label.trim()) && html`
          <${CheckField}
            label="Hold deliveries meanwhile"
            hint="They are kept, and sent one after the other when the silence ends."
            checked=${form.hold}
            onChange=${(event) => set({ hold: event.target.checked })}
          />
        `}
        <${FormProblem} problem=${action.problem} fields=${FIELDS} />
        <footer class="form-foot">
          <a class="button" href=${href(...back)}>Cancel</a>
          <button class="primary" aria-disabled=${action.isBusy ? "true" : undefined}>Silence</button>
        </footer>
      </form>
      <${Preview} form=${form} />
    </div>
  `;
}

function Preview({ form }) {
  const settled = useSettled(form, 300);
  const { webhook, label, kind } = settled;
  const isBlank = (!webhook && !label.trim() && !kind) || (settled.repeat === "custom" && !ruleOf(settled));
  // Of the reason nothing depends.
  const asked = JSON.stringify({ ...settled, reason: "" });
  const load = useLoad(
    async () => (isBlank ? { webhooks: 0, alerts: [], occurrences: [] } : api.previewSilence(specOf(settled))),
    [asked],
  );
  return html`
    <section class="panel" aria-labelledby="preview" aria-live="polite">
      <header class="panel-head">
        <h2 id="preview">Preview</h2>
      </header>
      ${isBlank ? html`
        <${Empty} title="Nothing yet" icon="silences">Give a webhook, a label or a kind.<//>
      ` : html`
        <${Loaded} load=${load} what="Counting" lines=${3}>
          ${(preview) => html`
            <${Occurrences} of=${preview.occurrences} form=${settled} />
            <p>
              Matches now: ${plural(preview.webhooks, "webhook")},${" "}
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

function Occurrences({ of, form }) {
  if (!form.repeat && form.begin === "now") return null;
  const isElsewhere = form.repeat && form.zone !== zoneName();
  const city = form.zone.split("/").at(-1).replaceAll("_", " ");
  return html`
    <p>${form.repeat ? inWords({ rrule: ruleOf(form), timezone: form.zone }) : "Once"}:</p>
    <ul class="list" aria-label="Next occurrences">
      ${of.map((one) => html`
        <li class="worst-row small" key=${one.starts_at}>
          <span class="grow">${at(one.starts_at)} – ${at(one.ends_at)}</span>
          ${isElsewhere && html`<span class="muted">${one.local_starts_at.slice(11, 16)} ${city}</span>`}
        </li>
      `)}
    </ul>
  `;
}
