/** What was sent and what came back in one attempt. */

import { api } from "../api.js";
import { ms } from "../format.js";
import { useLoad } from "../hooks.js";
import { html } from "../html.js";

const PHASES = [
  ["dns_ms", "DNS"],
  ["connect_ms", "connect"],
  ["tls_ms", "TLS"],
  ["first_byte_ms", "first byte"],
];

/** Request and response, as far as they are kept. Everything is text: receivers choose what they answer. */
export function Exchange({ attempt, webhook }) {
  const event = useLoad(
    async (signal) => (attempt.event_id ? api.event(attempt.event_id, signal) : {}),
    [attempt.event_id],
  );
  const phases = PHASES.filter(([member]) => attempt.phases[member] !== null);
  return html`
    <div class="exchange">
      <section>
        <h3>Request</h3>
        <pre class="body" tabindex="0">
          ${requestHead(attempt, webhook)}
          ${event.data?.payload === undefined ? "" : `\n\n${JSON.stringify(event.data.payload, null, 2)}`}
        </pre>
        ${event.error && html`<p class="muted small">The payload is no longer stored.</p>`}
      </section>
      <section>
        <h3>Response</h3>
        <p class="small">
          ${attempt.status_code ?? "no status"} after ${ms(attempt.latency_ms)}
          ${attempt.error_detail ? ` · ${attempt.error_detail}` : ""}
        </p>
        ${phases.length > 0 && html`
          <p class="muted small">
            ${phases.map(([member, name]) => `${name} ${ms(attempt.phases[member])}`).join(" · ")}
          </p>
        `}
        ${attempt.response_body ? html`<pre class="body" tabindex="0">${attempt.response_body}</pre>` : html`
          <p class="muted small">No body was stored.</p>
        `}
      </section>
    </div>
  `;
}

function requestHead(attempt, webhook) {
  const lines = [
    `POST ${webhook?.url ?? ""}`,
    "content-type: application/json",
    `webhook-id: ${attempt.event_id ?? attempt.id}`,
    `webhook-timestamp: ${Math.floor(Date.parse(attempt.at) / 1_000)}`,
    `webhook-signature: ${webhook?.signature ?? "v1"},…`,
    attempt.event_type && `monitor-event-type: ${attempt.event_type}`,
    ...Object.keys(webhook?.headers ?? {}).map((name) => `${name}: ***`),
  ];
  return lines.filter(Boolean).join("\n");
}
