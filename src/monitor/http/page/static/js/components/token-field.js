/** The field that a token is pasted into. */

import { html, useState } from "../html.js";
import { TextField } from "./fields.js";

/** @param {{value: string, onInput: (token: string) => void, error?: string|null}} props */
export function TokenField({ value, onInput, error }) {
  const [isShown, setShown] = useState(false);
  return html`
    <${TextField}
      label="Token"
      name="token"
      type=${isShown ? "text" : "password"}
      class="mono"
      value=${value}
      error=${error}
      onInput=${(event) => onInput(event.target.value)}
      autofocus
    />
    <label class="check">
      <input type="checkbox" checked=${isShown} onChange=${() => setShown(!isShown)} /> Show
    </label>
  `;
}
