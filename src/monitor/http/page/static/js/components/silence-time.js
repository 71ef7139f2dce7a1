/** Fields of a silence: when it begins, how long it takes, and how it repeats. */

import { html } from "../html.js";
import { REPEATS, UNTIL, WEEKDAYS } from "../silence-spec.js";
import { LENGTHS } from "../words.js";
import { zoneName } from "../zone.js";
import { CheckField, SelectField, TextField } from "./fields.js";

const BEGINS = [["now", "now"], ["later", "later"]];

/** @param {{form: object, bind: (name: string) => object, set: (changes: object) => void,
 *   wrong: (pointer: string) => string|null}} props */
export function SilenceTime({ form, bind, set, wrong }) {
  const lengths = form.repeat ? LENGTHS : [...LENGTHS, [UNTIL, "until a time"]];
  const isUntil = form.length === UNTIL && !form.repeat;
  const lengthError = wrong("/duration_s") ?? (isUntil || form.repeat ? null : wrong("/ends_at"));
  return html`
    <${SelectField} label="Begins" options=${BEGINS} ...${bind("begin")} />
    ${form.begin === "later" && html`
      <${TextField}
        label="Start (${zoneName()})"
        type="datetime-local"
        required
        error=${wrong("/starts_at")}
        ...${bind("starts")}
      />
    `}
    <${SelectField} label="Duration" options=${lengths} error=${lengthError} ...${bind("length")} />
    ${isUntil && html`
      <${TextField}
        label="Ends (${zoneName()})"
        type="datetime-local"
        required
        error=${wrong("/ends_at")}
        ...${bind("until")}
      />
    `}
    <${SelectField}
      label="Repeats"
      options=${REPEATS}
      value=${form.repeat}
      onInput=${(event) => set({ repeat: event.target.value, length: form.length === UNTIL ? "7200" : form.length })}
      error=${form.repeat === "custom" ? null : wrong("/recurrence/rrule")}
    />
    ${form.repeat && html`<${Repetition} form=${form} bind=${bind} set=${set} wrong=${wrong} />`}
  `;
}

function Repetition({ form, bind, set, wrong }) {
  const toggle = (day) => () =>
    set({ days: WEEKDAYS.map(([of]) => of).filter((of) => form.days.includes(of) !== (of === day)) });
  return html`
    ${form.repeat === "weekly" && html`
      <fieldset>
        <legend>On</legend>
        <div class="weekdays">
          ${WEEKDAYS.map(([day, name]) => html`
            <${CheckField} key=${day} label=${name} checked=${form.days.includes(day)} onChange=${toggle(day)} />
          `)}
        </div>
      </fieldset>
    `}
    ${form.repeat === "custom" && html`
      <${TextField}
        label="Rule"
        class="mono"
        required
        maxlength="200"
        placeholder="FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=2;BYMINUTE=0"
        hint="What it leaves out is that of the start."
        error=${wrong("/recurrence/rrule")}
        ...${bind("rule")}
      />
    `}
    <${TextField}
      label="Time zone of the repetition"
      required
      maxlength="64"
      hint="An IANA name. Occurrences keep their local time there."
      error=${wrong("/recurrence/timezone")}
      ...${bind("zone")}
    />
    <${TextField}
      label="Stop repeating at (optional, ${zoneName()})"
      type="datetime-local"
      error=${wrong("/ends_at")}
      ...${bind("last")}
    />
  `;
}
