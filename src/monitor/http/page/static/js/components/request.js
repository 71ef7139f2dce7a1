/** The request of an attempt: as it was sent, or rebuilt, which it says then. */

import { bytesOf, indented, textOf } from "../bytes.js";
import { curlOf } from "../curl.js";
import { plural } from "../format.js";
import { html, useMemo, useState } from "../html.js";
import { safeValue } from "../text.js";
import { CopyButton } from "./copy.js";
import { Segments } from "./segments.js";
import { SignedWith, VerifySignature } from "./verify-signature.js";

/** The method of an exchange that handed an e-mail over. */
const MAIL = "MAIL";
const FORMS = [
  [true, "Raw"],
  [false, "Formatted"],
];

export function Request({ attempt, webhook }) {
  const [isRaw, setRaw] = useState(true);
  const body = useMemo(() => attempt.request_body && bytesOf(attempt.request_body.base64), [attempt]);
  const sent = attempt.exchange;
  if (attempt.kind === "reported")
    return html`
      <section aria-label="Request">
        <h3>Request</h3>
        <p class="muted small">Reported by another sender: Monitor does not know its request.</p>
      </section>
    `;
  const text = body && textOf(body);
  const exchange = sent ?? rebuilt(attempt, webhook);
  return html`
    <section aria-label="Request">
      <header class="exchange-head">
        <h3>Request</h3>
        <div class="row">
          ${body && html`<${Segments} label="Body" value=${isRaw} options=${FORMS} onChange=${setRaw} />`}
          ${body && html`<${CopyButton} value=${text} label="Copy body" text="Copy body" />`}
          ${exchange.method !== MAIL && html`
            <${CopyButton} value=${curlOf(exchange, text)} label="Copy as curl" text="Copy as curl" />
          `}
        </div>
      </header>
      <${Source} attempt=${attempt} body=${body} />
      <pre class="body" tabindex="0" aria-label="Request headers" role="group">${head(exchange)}</pre>
      ${text === null ? html`<p class="muted small">The payload is no longer stored.</p>` : html`
        <pre class="body" tabindex="0" aria-label="Request body" role="group">${safeValue(isRaw ? text : indented(text))}</pre>
      `}
      <${SignedWith} attempt=${attempt} />
      ${sent && sent.method !== MAIL && body && html`<${VerifySignature} fields=${sent.request_headers} body=${body} />`}
    </section>
  `;
}

/** Says where what is shown comes from. */
function Source({ attempt, body }) {
  const { exchange: sent, request_body: kept, error } = attempt;
  if (!sent)
    return html`
      <p class="notice small">
        ${UNSENT.has(error) ? "No request was sent. " : ""}Rebuilt from today's configuration.
      </p>
    `;
  return html`
    ${kept?.rebuilt && html`
      <p class="notice small">The body is rebuilt from the event: it is not proven to be the bytes that were sent.</p>
    `}
    <p class="muted small break">
      As sent${body && !kept.rebuilt ? `, checked by its hash` : ""} ·${" "}
      ${plural(sent.body_bytes, "byte")} · SHA-256 <code>${sent.body_sha256}</code>
    </p>
  `;
}

const UNSENT = new Set(["dns", "connect", "tls", "blocked"]);

function head({ method, url, request_headers: fields }) {
  return [`${method} ${url}${method === MAIL ? "" : " HTTP/1.1"}`, ...fields.map(({ name, value }) => `${name}: ${value}`)].join("\n");
}

function rebuilt(attempt, webhook) {
  if (webhook?.url?.startsWith("mailto:")) return { method: MAIL, url: webhook.url, request_headers: [] };
  const fields = {
    "content-type": "application/json",
    "webhook-id": attempt.event_id ?? attempt.id,
    "webhook-timestamp": String(Math.floor(Date.parse(attempt.at) / 1_000)),
    "webhook-signature": `${webhook?.signature ?? "v1"},***`,
    "monitor-event-type": attempt.event_type ?? "",
    ...webhook?.headers,
  };
  const request_headers = Object.entries(fields).map(([name, value]) => ({ name, value }));
  return { method: "POST", url: webhook?.url ?? "", request_headers };
}
