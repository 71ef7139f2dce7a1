/** The attempts of one webhook: each opens to what was sent and what came back. */

import { api } from "../api.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { Status } from "../components/status.js";
import { clock, ms, precisely } from "../format.js";
import { useLoad, usePages } from "../hooks.js";
import { Fragment, html, useState } from "../html.js";

const FILTERS = [
  ["", "All"],
  ["false", "Failed"],
  ["true", "Succeeded"],
];
const ERRORS = ["timeout", "connect", "dns", "tls", "reset", "protocol", "blocked", "status", "other"];
const PAGE = 20;

export function Attempts({ webhook }) {
  const [filter, setFilter] = useState({ ok: "", error: "" });
  const [open, setOpen] = useState(null);
  const pages = usePages(
    (cursor, signal) => api.attempts(webhook.id, { ...filter, limit: PAGE, cursor }, signal),
    [webhook.id, filter],
    {
      // What somebody reads is left as it is.
      everyMs: open ? 0 : 10_000,
    },
  );
  return html`
    <section class="panel" aria-labelledby="attempts">
      <header class="panel-head">
        <h2 id="attempts">Attempts</h2>
        <div class="row">
          <div class="segments" role="group" aria-label="Filter attempts">
            ${FILTERS.map(([ok, text]) => html`
              <button
                type="button"
                key=${ok}
                aria-pressed=${filter.ok === ok}
                onClick=${() => setFilter({ ...filter, ok })}
              >
                ${text}
              </button>
            `)}
          </div>
          <label class="inline">
            Error${" "}
            <select
              value=${filter.error}
              onChange=${(event) => setFilter({ ...filter, error: event.target.value })}
            >
              <option value="">any</option>
              ${ERRORS.map((kind) => html`<option>${kind}</option>`)}
            </select>
          </label>
        </div>
      </header>
      <${Loaded}
        load=${pages.load}
        what="Reading attempts"
        lines=${6}
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title="No attempts" icon="activity" />`}
      >
        ${() => html`
          <div class="scroll-x">
            <table class="table attempts">
              <thead>
                <tr>
                  <th scope="col">Result</th>
                  <th scope="col">When</th>
                  <th scope="col">Event</th>
                  <th scope="col" class="num">No.</th>
                  <th scope="col" class="num">Duration</th>
                  <th scope="col">
                    <span class="visually-hidden">Details</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                ${pages.items.map((attempt) => html`
                  <${Attempt}
                    key=${attempt.id}
                    attempt=${attempt}
                    webhook=${webhook}
                    isOpen=${open === attempt.id}
                    onToggle=${() => setOpen(open === attempt.id ? null : attempt.id)}
                  />
                `)}
              </tbody>
            </table>
          </div>
          <${Older} pages=${pages}>Older attempts<//>
        `}
      <//>
    </section>
  `;
}

function Attempt({ attempt, webhook, isOpen, onToggle }) {
  const result = attempt.status_code ?? attempt.error;
  return html`
    <${Fragment}>
      <tr class=${isOpen ? "current" : ""}>
        <td>
          <${Status} of=${attempt.ok ? "delivered" : "failed"} text=${String(result)} />
        </td>
        <td>
          <time datetime=${attempt.at} title=${precisely(attempt.at)}>${clock(attempt.at)}</time>
        </td>
        <td class="clip">
          ${attempt.event_id ? html`
            <a href=${`#/events/${attempt.event_id}`}>${attempt.event_type ?? "event"}</a>
          ` : (
            (attempt.event_type ?? "–")
          )}${" "}
          ${attempt.kind !== "delivery" && html`<span class="tag">${attempt.kind}</span>`}
        </td>
        <td class="num">${attempt.number}</td>
        <td class="num">${ms(attempt.latency_ms)}</td>
        <td class="num">
          <button
            type="button"
            class="bare"
            aria-expanded=${isOpen ? "true" : "false"}
            aria-label="Details of the attempt at ${clock(attempt.at)}"
            onClick=${onToggle}
          >
            <span class=${isOpen ? "turned" : ""}>
              <${Icon} name="right" size=${13} />
            </span>
          </button>
        </td>
      </tr>
      ${isOpen && html`
        <tr class="detail">
          <td colspan="6">
            <${Exchange} attempt=${attempt} webhook=${webhook} />
          </td>
        </tr>
      `}
    <//>
  `;
}

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
