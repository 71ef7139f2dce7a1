/** Form fields with their label, hint and error tied to them. */

import { html, useId } from "../html.js";
import { Icon } from "./icons.js";

/** @param {{label: string, hint?: any, error?: string|null, children: (attributes: object) => any}} props */
function Field({ label, hint, error, children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? "true" : undefined })}
      ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
      ${error && html`
        <p class="field-error" id="${id}-error">
          <${Icon} name="warning" size=${13} /> ${error}
        </p>
      `}
    </div>
  `;
}

/** A line of text; other attributes go to the input. */
export function TextField({ label, hint, error, ...rest }) {
  return html`
    <${Field} label=${label} hint=${hint} error=${error}>
      ${(own) => html`<input autocomplete="off" spellcheck=${false} ...${rest} ...${own} />`}
    <//>
  `;
}

export function AreaField({ label, hint, error, value, ...rest }) {
  return html`
    <${Field} label=${label} hint=${hint} error=${error}>
      ${(own) => html`<textarea rows="3" spellcheck=${false} value=${value} ...${rest} ...${own}></textarea>`}
    <//>
  `;
}

/**
 * @param {{label: string, options: [string, string][], hint?: any, error?: string|null, value?: string,
 *   [attribute: string]: any}} props value and text of each choice
 */
export function SelectField({ label, hint, error, options, value, ...rest }) {
  return html`
    <${Field} label=${label} hint=${hint} error=${error}>
      ${(own) => html`
        <select value=${value} ...${rest} ...${own}>
          ${options.map(([of, text]) => html`<option value=${of} selected=${of === value}>${text}</option>`)}
        </select>
      `}
    <//>
  `;
}

export function CheckField({ label, hint, ...rest }) {
  return html`
    <div class="field">
      <label class="check">
        <input type="checkbox" ...${rest} /> ${label}
      </label>
      ${hint && html`<p class="hint">${hint}</p>`}
    </div>
  `;
}

/** @param {{errors: {pointer: string, detail: string}[]}} props what is wrong with members that no field shows */
export function ErrorList({ errors }) {
  if (!errors.length) return null;
  return html`
    <ul>
      ${errors.map((error) => html`
        <li>
          <code>${error.pointer}</code> ${error.detail}
        </li>
      `)}
    </ul>
  `;
}

/** What the server said about a form, where no single field is to blame. */
export function FormProblem({ problem, fields = [] }) {
  if (!problem) return null;
  const rest = problem.errors.filter((error) => !fields.some((field) => error.pointer.startsWith(field)));
  return html`
    <div class="failed" role="alert">
      <p>
        <${Icon} name="critical" /> <strong>${problem.title}.</strong> ${problem.message}
      </p>
      <${ErrorList} errors=${rest} />
    </div>
  `;
}

/** @returns {(pointer: string) => string|null} what *problem* says about a member or anything inside it */
export function errorsOf(problem) {
  return (pointer) =>
    problem?.errors.find((error) => error.pointer === pointer || error.pointer.startsWith(`${pointer}/`))
      ?.detail ?? null;
}
