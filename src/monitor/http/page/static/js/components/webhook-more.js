/** The fields of a webhook that most leave as they are: labels, headers, limits, signature. */

import { BODY_FORMATS } from "../body-formats.js";
import { html } from "../html.js";
import { SelectField, TextField } from "./fields.js";
import { PairsField } from "./pairs-field.js";
import { ScheduleField } from "./schedule-field.js";

const HEADERS_HINT = `Values are stored encrypted and never shown again. A stored value is kept, unless the URL moves to
  another server.`;
const SECRET_HINT = `Leave it empty to get a new one. Your own is whsec_ and 24 to 64 bytes in base64, for v1a whsk_ and an
  Ed25519 key.`;
const SKIP_HINT = `A delivery that fails holds those behind it until it is delivered or its attempts are used up.
  With a number, they overtake it after so many, and it goes on with its own retries.`;

const REMINDERS_HINT = `Of alerts that are critical and not acknowledged, for webhooks that subscribe to monitor.alert.*. Whole
  five minutes, up to a day, or never.`;

const ORDERS = [
  ["false", "None: side by side"],
  ["key", "By order_key: one delivery at a time for each key"],
  ["true", "Preserve order: one delivery at a time"],
];

/**
 * @param {{form: object, bind: (name: string) => object, tied: (name: string) => object, isNew: boolean}} props the form,
 *   and what ties a field to its member and to what is said about it: `bind` for an input, `tied` for a field of ours
 */
export function More({ form, bind, tied, isNew }) {
  return html`
    <${PairsField}
      label="Headers"
      one="header"
      name="X-Api-Key"
      value="value"
      hint=${HEADERS_HINT}
      ...${rows(tied("headers"))}
    />
    <${PairsField}
      label="Labels"
      one="label"
      name="team"
      value="billing"
      hint="Only events with all of them are delivered."
      ...${rows(tied("labels"))}
    />
    <${ScheduleField} ...${tied("schedule")} />
    <div class="row">
      <${TextField} label="Timeout (seconds)" inputmode="decimal" ...${bind("timeout")} />
      <${TextField} label="Max concurrent" inputmode="numeric" ...${bind("concurrency")} />
    </div>
    <div class="row">
      <${TextField} label="Requests per second" inputmode="decimal" placeholder="no limit" ...${bind("perSecond")} />
      <${TextField} label="Burst" inputmode="numeric" placeholder="1" ...${bind("burst")} />
    </div>
    <div class="row">
      <${SelectField}
        label="After Monitor disabled it"
        options=${[
          ["never", "Stays disabled"],
          ["probe", "Probe; enable when one succeeds"],
        ]}
        ...${bind("reenable")}
      />
    </div>
    <div class="row">
      <${SelectField}
        label="Signature"
        options=${[
          ["v1", "v1, HMAC-SHA256"],
          ["v1a", "v1a, Ed25519"],
        ]}
        ...${bind("signature")}
      />
      <${SelectField}
        label="Body"
        options=${BODY_FORMATS}
        ...${bind("bodyFormat")}
      />
    </div>
    <${TextField}
      label="Reminders"
      placeholder="15m 1h 4h; never for pagers"
      hint=${REMINDERS_HINT}
      ...${bind("reminders")}
    />
    ${isNew && html`
      <${TextField}
        label="Signing secret"
        class="mono"
        placeholder="made for you"
        hint=${SECRET_HINT}
        ...${bind("secret")}
      />
    `}
    <${SelectField}
      label="Order"
      options=${ORDERS}
      hint="Keys go side by side; events without a key go in no order."
      ...${bind("ordered")}
    />
    ${form.ordered !== "false" && html`
      <${TextField}
        label="Skip after failed attempts"
        inputmode="numeric"
        placeholder="never: block"
        hint=${SKIP_HINT}
        ...${bind("skipAfter")}
      />
    `}
  `;
}

const rows = ({ value, ...rest }) => ({ rows: value, ...rest });
