/** Over which time a list is read: the last hours or days, or from one time to another. Its state is the address. */

import { html } from "../html.js";
import { RANGES } from "../ranges.js";
import { setQuery } from "../router.js";
import { CustomRange } from "./custom-range.js";
import { Segments } from "./segments.js";

const NAMED = [
  ["1h", "Last hour"],
  ["24h", "24 h"],
  ["7d", "7 d"],
  ["all", "All"],
];

/**
 * @param {{range?: string, from?: string, to?: string}} query of the address
 * @returns {{from?: string, to?: string}} conditions for the API, of this moment
 */
export function spanOf({ range, from, to }, otherwise = "24h") {
  if (from || to) return { from, to };
  const found = RANGES.find(([name]) => name === (range || otherwise));
  return found ? { from: new Date(Date.now() - found[1] * 1_000).toISOString() } : {};
}

export function TimeRange({ query, otherwise = "24h", label = "Accepted in" }) {
  const isCustom = Boolean(query.from || query.to);
  return html`
    <div class="row time-range">
      <${Segments}
        label=${label}
        value=${isCustom ? "custom" : query.range || otherwise}
        options=${NAMED}
        onChange=${(range) => setQuery({ range, from: "", to: "" })}
      />
      <${CustomRange} key=${isCustom ? "custom" : "named"} query=${query} />
    </div>
  `;
}
