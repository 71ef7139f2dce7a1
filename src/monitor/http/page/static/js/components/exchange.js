/** What was sent and what came back in one attempt, as it went over the wire. */

import { api } from "../api.js";
import { ms } from "../format.js";
import { useLoad } from "../hooks.js";
import { html, useEffect, useRef } from "../html.js";
import { href } from "../router.js";
import { CopyButton } from "./copy.js";
import { Request } from "./request.js";
import { Loaded } from "./states.js";

const PHASES = [
  ["dns_ms", "DNS"],
  ["connect_ms", "connect"],
  ["tls_ms", "TLS"],
  ["first_byte_ms", "first byte"],
];

/**
 * Request and response, as far as they are kept. Everything is text: receivers choose what they answer.
 *
 * @param {{attempt: object, webhook?: object, isLinked?: boolean}} props *isLinked*: it is what the address names, so
 *   the view scrolls to it
 */
export function Exchange({ attempt, webhook, isLinked = false }) {
  const element = useRef(null);
  const load = useLoad((signal) => api.attempt(attempt.webhook_id, attempt.id, signal), [attempt.id]);
  const isRead = load.data !== null;
  useEffect(() => {
    if (isLinked && isRead) element.current.scrollIntoView({ block: "center" });
  }, [isLinked, isRead]);
  return html`
    <div class="exchange" ref=${element} data-attempt=${attempt.id}>
      <${Loaded} load=${load} what="Reading the exchange" lines=${4}>
        ${(whole) => html`
          <${Request} attempt=${whole} webhook=${webhook} />
          <${Response} attempt=${whole} />
        `}
      <//>
    </div>
  `;
}

function Response({ attempt }) {
  const { exchange } = attempt;
  const phases = PHASES.filter(([member]) => attempt.phases[member] !== null);
  // Of a status the detail says no more than the status does.
  const detail = attempt.error_detail === `answered ${attempt.status_code}` ? null : attempt.error_detail;
  const version = exchange?.http_version ? `HTTP/${exchange.http_version} ` : "";
  return html`
    <section aria-label="Response">
      <header class="exchange-head">
        <h3>Response</h3>
        <div class="row">
          ${attempt.response_body && html`<${CopyButton} value=${attempt.response_body} label="Copy response" text="Copy response" />`}
          <${CopyButton} value=${linkTo(attempt)} label="Copy link" text="Copy link" />
        </div>
      </header>
      <p class="small">
        ${version}${attempt.status_code ?? "No status"} after ${ms(attempt.latency_ms)}
        ${detail ? ` · ${detail}` : ""}
      </p>
      ${phases.length > 0 && html`
        <p class="muted small">
          ${phases.map(([member, name]) => `${name} ${ms(attempt.phases[member])}`).join(" · ")}
        </p>
      `}
      ${exchange?.note && html`<p class="small">Unusual: ${exchange.note}</p>`}
      ${exchange?.response_headers.length > 0 && html`
        <pre class="body" tabindex="0" aria-label="Response headers" role="group">${fieldLines(exchange.response_headers)}</pre>
      `}
      ${attempt.response_body ? html`
        <pre class="body" tabindex="0" aria-label="Response body" role="group">${attempt.response_body}</pre>
      ` : html`<p class="muted small">No body was stored.</p>`}
    </section>
  `;
}

const fieldLines = (fields) => fields.map(({ name, value }) => `${name}: ${value}`).join("\n");

function linkTo({ id, webhook_id: webhookId }) {
  return `${location.origin}${location.pathname}${href(`/webhooks/${webhookId}`, { attempt: id })}`;
}
