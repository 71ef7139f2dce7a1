/** Over which time a webhook is looked at: a named range that moves with now, or from one time to another. */

import { fieldTime, timeOfField } from "../format.js";
import { html, useState } from "../html.js";
import { setQuery } from "../router.js";
import { timeZone } from "../zone.js";
import { TextField } from "./fields.js";

export function CustomRange({ query }) {
  const [isOpen, setOpen] = useState(Boolean(query.from));
  const now = new Date();
  const [times, setTimes] = useState([
    fieldTime(query.from ? new Date(query.from) : new Date(now.getTime() - 3 * 3_600_000)),
    fieldTime(query.to ? new Date(query.to) : now),
  ]);
  const error = isOpen && !(times[0] < times[1]) ? "The start must be before the end." : null;
  const show = (event) => {
    event.preventDefault();
    if (!error)
      setQuery({
        from: timeOfField(times[0]).toISOString(),
        to: timeOfField(times[1]).toISOString(),
        range: "custom",
      });
  };
  const suffix = timeZone() ? " (UTC)" : "";
  if (!isOpen)
    return html`<button type="button" class="small" onClick=${() => setOpen(true)}>Custom range</button>`;
  return html`
    <form class="row custom-range" onSubmit=${show}>
      <${TextField}
        label="From${suffix}"
        type="datetime-local"
        value=${times[0]}
        error=${error}
        onInput=${(event) => setTimes([event.target.value, times[1]])}
      />
      <${TextField}
        label="To${suffix}"
        type="datetime-local"
        value=${times[1]}
        onInput=${(event) => setTimes([times[0], event.target.value])}
      />
      <button>Show</button>
    </form>
  `;
}
