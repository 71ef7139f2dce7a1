/** The form of a webhook. It is the person's: nothing live reaches into it. */

import { useAction } from "../hooks.js";
import { html, useState } from "../html.js";
import { toSpec } from "../webhook-spec.js";
import { AreaField, CheckField, FormProblem, TextField, errorsOf } from "./fields.js";
import { Icon } from "./icons.js";
import { More } from "./webhook-more.js";

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

export function WebhookForm({ first, verb, save, back, onReload }) {
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
        <${More} form=${form} bind=${bind} wrong=${wrong} />
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
