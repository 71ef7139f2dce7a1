/** All values of a chart as a table. */

import { at } from "../format.js";
import { html, useState } from "../html.js";

export function DataTable({ label, x, series }) {
  const [isOpen, setOpen] = useState(false);
  const rows = isOpen
    ? x
        .map((time, i) => [time, i])
        .filter(([, i]) => series.some((one) => one.values[i]))
        .toReversed()
    : [];
  return html`
    <details class="figures" onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>Data table</summary>
      ${isOpen && html`
        <div class="scroll-x" tabindex="0" role="region" aria-label="${label}, data table">
          <table class="table compact">
            <thead>
              <tr>
                <th scope="col">From</th>
                ${series.map((one) => html`<th scope="col" class="num">${one.label}</th>`)}
              </tr>
            </thead>
            <tbody>
              ${rows.map(([time, i]) => html`
                <tr key=${time}>
                  <td>${at(new Date(time * 1_000))}</td>
                  ${series.map((one) => html`<td class="num">${one.format(one.values[i])}</td>`)}
                </tr>
              `)}
            </tbody>
          </table>
        </div>
      `}
    </details>
  `;
}
