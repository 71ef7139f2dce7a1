/** The form of a webhook. It is the person's: nothing live reaches into it. */

import { asProblem } from "../api.js";
import { html, useState } from "../html.js";
import { problemsOf } from "../webhook-spec.js";
import { EventTypesField } from "./event-types-field.js";
import { AreaField, CheckField, TextField } from "./fields.js";
import { FormErrors, useFormErrors } from "./form-errors.js";
import { useUnsaved } from "./unsaved.js";
import { More } from "./webhook-more.js";

/** Member of the form → pointer of what is said about it. */
const POINTERS = {
  name: "/name",
  url: "/url",
  description: "/description",
  eventTypes: "/event_types",
  labels: "/labels",
  headers: "/headers",
  timeout: "/timeout_s",
  concurrency: "/max_concurrency",
  perSecond: "/rate_limit",
  burst: "/burst",
  schedule: "/retry",
  skipAfter: "/skip_after",
  reminders: "/reminders",
  secret: "/secret",
};

/**
 * @param {{first: object, verb: string, save: (form: object, release: () => void) => Promise<any>, back: string,
 *   onReload?: () => void, isNew?: boolean}} props `release` lets the form be left unasked, once it is saved
 */
export function WebhookForm({ first, verb, save, back, onReload, isNew = false }) {
  const [form, setForm] = useState(first);
  const [isBusy, setBusy] = useState(false);
  const errors = useFormErrors();
  const release = useUnsaved(form !== first && Object.keys(form).some((name) => form[name] !== first[name]));
  const set = (name, value) => {
    setForm((before) => ({ ...before, [name]: value }));
    if (POINTERS[name]) errors.clear(POINTERS[name]);
    // Stored header values may not go to another server: the URL decides.
    if (name === "url") errors.clear("/headers");
  };
  const bind = (name) => ({
    value: form[name],
    error: errors.of(POINTERS[name] ?? `/${name}`),
    onInput: (event) => set(name, event.target.value),
  });
  const tied = (name) => ({ value: form[name], error: errors.of(POINTERS[name]), onChange: (value) => set(name, value) });
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    const wrong = problemsOf(form);
    errors.show(wrong);
    if (wrong.length) return;
    setBusy(true);
    try {
      await save(form, release);
    } catch (error) {
      const problem = asProblem(error);
      errors.show(problem.errors, problem);
    }
    setBusy(false);
  };
  // While it is busy, the button keeps the focus: a dialog gives it back.
  return html`
    <form class="card form" ref=${errors.form} onSubmit=${submit} novalidate>
      <${TextField} label="Name" maxlength="200" ...${bind("name")} />
      <${TextField}
        label="URL"
        type="url"
        maxlength="2048"
        placeholder="https://example.com/hooks"
        class="mono"
        hint="Deliveries are sent here by POST."
        ...${bind("url")}
      />
      <${EventTypesField} ...${tied("eventTypes")} />
      <${AreaField} label="Description" maxlength="2000" ...${bind("description")} />
      <${CheckField}
        label="Enabled"
        hint="When off, nothing is sent."
        checked=${form.enabled}
        onChange=${(event) => set("enabled", event.target.checked)}
      />
      <details>
        <summary>More: headers, retries, limits, signature</summary>
        <${More} form=${form} bind=${bind} tied=${tied} isNew=${isNew} />
      </details>
      <${FormErrors} errors=${errors.errors} problem=${errors.problem} fields=${Object.values(POINTERS)} />
      ${errors.problem?.status === 412 && onReload && html`
        <p>
          <button type="button" onClick=${onReload}>
            Reload
          </button>${" "}
          Your changes will be lost.
        </p>
      `}
      <footer class="form-foot">
        <a class="button" href=${back}>Cancel</a>
        <button class="primary" aria-disabled=${isBusy ? "true" : undefined}>${isBusy ? "Saving…" : verb}</button>
      </footer>
    </form>
  `;
}
