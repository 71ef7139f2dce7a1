/** Over which time a webhook is looked at: a named range that moves with now, or from one time to another. */

import { RANGES } from "../charts/series.js";
import { TextField } from "../components/fields.js";
import { fieldTime } from "../format.js";
import { html, useState } from "../html.js";
import { setQuery } from "../router.js";

const MOST_POINTS = 300;
const STEPS = [60, 300, 900, 3_600, 14_400, 86_400];

/** @returns {{fromS: number, toS: number, stepS: number, isMoving: boolean}} whole steps; the present one included */
export function rangeOf({ range = "1h", from, to }) {
  if (from && to && Date.parse(from) < Date.parse(to)) {
    const [fromS, toS] = [Date.parse(from) / 1_000, Date.parse(to) / 1_000];
    const stepS = STEPS.find((step) => (toS - fromS) / step <= MOST_POINTS) ?? STEPS.at(-1);
    return {
      fromS: Math.floor(fromS / stepS) * stepS,
      toS: Math.ceil(toS / stepS) * stepS,
      stepS,
      isMoving: false,
    };
  }
  const [, lengthS, stepS] = RANGES.find(([name]) => name === range) ?? RANGES[1];
  const toS = Math.ceil(Date.now() / 1_000 / stepS) * stepS;
  return { fromS: toS - lengthS, toS, stepS, isMoving: true };
}

export function CustomRange({ query }) {
  const [isOpen, setOpen] = useState(Boolean(query.from));
  const now = new Date();
  const [times, setTimes] = useState([
    fieldTime(query.from ? new Date(query.from) : new Date(now - 3 * 3_600_000)),
    fieldTime(query.to ? new Date(query.to) : now),
  ]);
  const error = isOpen && !(times[0] < times[1]) ? "The start must be before the end." : null;
  const show = (event) => {
    event.preventDefault();
    if (!error)
      setQuery({
        from: new Date(times[0]).toISOString(),
        to: new Date(times[1]).toISOString(),
        range: "custom",
      });
  };
  if (!isOpen)
    return html`<button type="button" class="small" onClick=${() => setOpen(true)}>From … to …</button>`;
  return html`
    <form class="row custom-range" onSubmit=${show}>
      <${TextField}
        label="From"
        type="datetime-local"
        value=${times[0]}
        error=${error}
        onInput=${(event) => setTimes([event.target.value, times[1]])}
      />
      <${TextField}
        label="To"
        type="datetime-local"
        value=${times[1]}
        onInput=${(event) => setTimes([times[0], event.target.value])}
      />
      <button>Show</button>
    </form>
  `;
}
