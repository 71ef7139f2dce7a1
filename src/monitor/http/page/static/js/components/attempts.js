/** The attempts of one webhook: each opens to what was sent and what came back. */

import { api } from "../api.js";
import { clock, ms, precisely } from "../format.js";
import { usePages } from "../hooks.js";
import { Fragment, html, useState } from "../html.js";
import { ATTEMPT_ERRORS } from "../words.js";
import { Exchange } from "./exchange.js";
import { FilterSelect } from "./filter-select.js";
import { Icon } from "./icons.js";
import { Segments } from "./segments.js";
import { Empty, Loaded, Older } from "./states.js";
import { Status } from "./status.js";

const FILTERS = [
  ["", "All"],
  ["false", "Failed"],
  ["true", "Succeeded"],
];
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
          <${Segments}
            label="Filter attempts"
            value=${filter.ok}
            options=${FILTERS}
            onChange=${(ok) => setFilter({ ...filter, ok })}
          />
          <${FilterSelect}
            label="Error"
            value=${filter.error}
            options=${ATTEMPT_ERRORS}
            onChange=${(error) => setFilter({ ...filter, error })}
          />
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
