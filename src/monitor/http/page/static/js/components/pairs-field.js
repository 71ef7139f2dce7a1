/** Rows of names and values, such as headers and labels. */

import { html, useId, useLayoutEffect, useRef } from "../html.js";
import { Icon } from "./icons.js";

/**
 * @param {{label: string, one: string, hint?: any, error?: string|null, rows: import("../webhook-spec.js").Pair[],
 *   onChange: (rows: object[]) => void, name?: string, value?: string}} props `one` names a row ("header"); `name` and
 *   `value` are examples
 */
export function PairsField({ label, one, hint, error, rows, onChange, name, value }) {
  const id = useId();
  const group = useRef(null);
  const wanted = useRef(null);
  // Before the next key: a later one would take what is typed into another row.
  useLayoutEffect(() => {
    if (wanted.current) group.current.querySelector(wanted.current)?.focus();
    wanted.current = null;
  });
  const change = (index, patch) => onChange(rows.map((row, i) => (i === index ? { ...row, ...patch } : row)));
  const add = () => {
    wanted.current = `li:nth-child(${rows.length + 1}) input`;
    onChange([...rows, { name: "", value: "" }]);
  };
  const remove = (index) => {
    wanted.current = ".pair-add";
    onChange(rows.filter((_, i) => i !== index));
  };
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  const marks = { "aria-invalid": error ? "true" : undefined, "aria-describedby": error ? `${id}-error` : undefined };
  return html`
    <fieldset class="pairs-field" ref=${group} aria-describedby=${described}>
      <legend>${label}</legend>
      ${rows.length > 0 && html`
        <ul>
          ${rows.map((row, index) => html`
            <li key=${index}>
              <input
                class="mono"
                aria-label="Name of ${one} ${index + 1}"
                placeholder=${name}
                value=${row.name}
                autocomplete="off"
                spellcheck=${false}
                ...${marks}
                onInput=${(event) => change(index, { name: event.target.value, isStored: false })}
              />
              <input
                class="mono"
                aria-label="Value of ${one} ${row.name || index + 1}"
                placeholder=${row.isStored ? "stored; type to replace it" : value}
                value=${row.value}
                autocomplete="off"
                spellcheck=${false}
                onInput=${(event) => change(index, { value: event.target.value })}
              />
              <button type="button" class="bare" aria-label="Remove ${one} ${row.name || index + 1}" onClick=${() => remove(index)}>
                <${Icon} name="close" />
              </button>
            </li>
          `)}
        </ul>
      `}
      <button type="button" class="small pair-add" onClick=${add}>Add ${one}</button>
      ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
      ${error && html`
        <p class="field-error" id="${id}-error">
          <${Icon} name="warning" size=${13} /> ${error}
        </p>
      `}
    </fieldset>
  `;
}
