/** The retry schedule: a preset or delays of one's own, and the whole of it in words. */

import { html, useState } from "../html.js";
import { PRESETS, delaysOf, inWords, presetOf, typed } from "../retry-schedule.js";
import { SelectField, TextField } from "./fields.js";

const OPTIONS = [...PRESETS.map(([of, name]) => [of, name]), ["custom", "Custom"]];

/** @param {{value: string, onChange: (text: string) => void, error?: string|null}} props *value* as a person types it */
export function ScheduleField({ value, onChange, error }) {
  const [isCustom, setCustom] = useState(presetOf(value) === "custom");
  const delays = delaysOf(value);
  const choose = (event) => {
    const preset = PRESETS.find(([of]) => of === event.target.value);
    setCustom(!preset);
    if (preset) onChange(typed(preset[2]));
  };
  return html`
    <${SelectField}
      label="Retry schedule"
      options=${OPTIONS}
      value=${isCustom ? "custom" : presetOf(value)}
      onChange=${choose}
      hint=${delays && inWords(delays)}
      error=${isCustom ? null : error}
    />
    ${isCustom && html`
      <${TextField}
        label="Delays before each attempt"
        class="mono"
        error=${error}
        value=${value}
        hint="The first is 0; then such as 5s 5m 2h 1d."
        onInput=${(event) => onChange(event.target.value)}
      />
    `}
  `;
}
