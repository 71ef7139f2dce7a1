/** The named ranges to choose from. */

import { html } from "../html.js";
import { RANGES } from "../ranges.js";
import { Segments } from "./segments.js";

export function RangePicker({ value, onChange, label = "Range" }) {
  const options = RANGES.map(([name]) => [name, name]);
  return html`<${Segments} label=${label} value=${value} options=${options} onChange=${onChange} />`;
}
