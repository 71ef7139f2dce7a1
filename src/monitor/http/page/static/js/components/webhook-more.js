/** The fields of a webhook that most leave as they are: labels, headers, limits, signature. */

import { html } from "../html.js";
import { AreaField, SelectField, TextField } from "./fields.js";

const HEADERS_HINT = `One Name: value per line. Values are stored encrypted and never shown again;
  *** keeps a stored one, unless the URL moves to another server.`;
const SKIP_HINT = `A delivery that fails holds those behind it until it is delivered or its attempts are used up.
  With a number, they overtake it after so many, and it goes on with its own retries.`;

const ORDERS = [
  ["false", "none: side by side"],
  ["key", "by order_key: one at a time for each key"],
  ["true", "all: one at a time"],
];

/**
 * @param {{form: object, bind: (name: string) => object, wrong: (pointer: string) => string|null}} props the form, and
 *   what ties a field to its member and to what the server said about it
 */
export function More({ form, bind, wrong }) {
  return html`
    <${AreaField}
      label="Labels"
      class="mono"
      placeholder="team=billing"
      error=${wrong("/labels")}
      hint="One name=value per line. Only events with all of them are delivered."
      ...${bind("labels")}
    />
    <${AreaField}
      label="Headers"
      class="mono"
      placeholder="X-Api-Key: secret"
      error=${wrong("/headers")}
      hint=${HEADERS_HINT}
      ...${bind("headers")}
    />
    <div class="row">
      <${TextField}
        label="Attempt timeout, s"
        type="number"
        min="1"
        max="30"
        step="any"
        error=${wrong("/timeout_s")}
        ...${bind("timeout")}
      />
      <${TextField}
        label="Concurrent deliveries"
        type="number"
        min="1"
        max="1000"
        error=${wrong("/max_concurrency")}
        ...${bind("concurrency")}
      />
    </div>
    <div class="row">
      <${TextField}
        label="Rate limit, 1/s"
        type="number"
        min="0.001"
        step="any"
        placeholder="none"
        error=${wrong("/rate_limit")}
        ...${bind("perSecond")}
      />
      <${TextField} label="of which at once" type="number" min="1" placeholder="1" ...${bind("burst")} />
    </div>
    <${TextField}
      label="Delay before each attempt, s"
      class="mono"
      error=${wrong("/retry")}
      hint="The first is 0. One delay per attempt."
      ...${bind("schedule")}
    />
    <div class="row">
      <${SelectField}
        label="After Monitor disabled it"
        options=${[
          ["never", "it stays disabled"],
          ["probe", "probes; one that succeeds enables it"],
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
        options=${[
          ["standard", "the payload as posted"],
          ["slack", "Slack message"],
          ["discord", "Discord message"],
          ["teams", "Teams message"],
        ]}
        ...${bind("bodyFormat")}
      />
    </div>
    <${SelectField}
      label="Order"
      options=${ORDERS}
      hint="Keys go side by side; events without a key go in no order."
      ...${bind("ordered")}
    />
    ${form.ordered !== "false" && html`
      <${TextField}
        label="Skip after failed attempts"
        type="number"
        min="1"
        max="50"
        placeholder="never: block"
        error=${wrong("/skip_after")}
        hint=${SKIP_HINT}
        ...${bind("skipAfter")}
      />
    `}
  `;
}
