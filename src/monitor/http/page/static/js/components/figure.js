/** One figure of a row of them: its name, its value, and what it compares with. */

import { html } from "../html.js";

export function Figure({ name, value, note, tone = "" }) {
  return html`
    <div class="figure">
      <dt>${name}</dt>
      <dd>
        <span class="value ${tone}">${value}</span>
        ${note && html`<span class="note">${note}</span>`}
      </dd>
    </div>
  `;
}
