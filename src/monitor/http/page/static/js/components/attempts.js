/** The attempts of one webhook: each opens to what was sent and what came back. */

import { api } from "../api.js";
import { at as timeOf } from "../format.js";
import { useLoad, usePages } from "../hooks.js";
import { html, useRef } from "../html.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
import { kindOfError } from "../verdict.js";
import { ATTEMPT_ERRORS } from "../words.js";
import { Attempt, AttemptTable } from "./attempt-table.js";
import { FilterSelect } from "./filter-select.js";
import { Segments } from "./segments.js";
import { AttemptExport } from "./attempt-export.js";
import { Empty, Loaded, Older } from "./states.js";

const FILTERS = [
  ["", "All"],
  ["false", "Failed"],
  ["true", "Succeeded"],
];
const PAGE = 20;
const CODE = /^[1-9]\d\d$/;

export function Attempts({ webhook }) {
  const { query } = useStore(route);
  const { ok = "", error = "", code = "", attempt: open = "" } = query;
  const times = timesOf(query);
  const chosen = useRef(null);
  const heading = useRef(null);
  const toggle = (id) => {
    chosen.current = id;
    setQuery({ attempt: open === id ? "" : id });
  };
  const filter = { ok, error: CODE.test(code) ? code : error, ...times };
  const pages = usePages(
    (cursor, signal) => api.attempts(webhook.id, { ...filter, limit: PAGE, cursor }, signal),
    [webhook.id, ...Object.values(filter)],
    {
      // What somebody reads is left as it is.
      everyMs: open ? 0 : 10_000,
    },
  );
  return html`
    <section class="panel" aria-labelledby="attempts">
      <header class="panel-head">
        <h2 id="attempts" tabindex="-1" ref=${heading}>Attempts</h2>
        <div class="row">
          <${AttemptExport} webhook=${webhook} filter=${filter} />
          <${Segments}
            label="Filter attempts"
            value=${ok}
            options=${FILTERS}
            onChange=${(value) => setQuery({ ok: value, attempt: "" })}
          />
          <${FilterSelect}
            label="Error"
            value=${error}
            options=${ATTEMPT_ERRORS.map((error) => [error, kindOfError(error)])}
            onChange=${(value) => setQuery({ error: value, code: "", attempt: "" })}
          />
          <label class="inline">
            Status code${" "}
            <input
              class="code"
              inputmode="numeric"
              maxlength="3"
              placeholder="any"
              value=${code}
              onInput=${(event) => setQuery({ code: event.target.value.trim(), error: "", attempt: "" })}
            />
          </label>
        </div>
      </header>
      ${times.from && html`
        <p class="small muted">
          From ${timeOf(times.from)} to ${timeOf(times.to)}, as the charts.${" "}
          <button type="button" class="link" onClick=${() => setQuery({ from: "", to: "", range: "" })}>
            All times
          </button>
        </p>
      `}
      ${open && pages.load.data && !pages.items.some(({ id }) => id === open) && html`
        <${Linked} key=${open} id=${open} webhook=${webhook} onClose=${() => (toggle(open), heading.current.focus())} />
      `}
      <${Loaded}
        load=${pages.load}
        what="Reading attempts"
        lines=${6}
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title="No attempts" icon="activity" />`}
      >
        ${() => html`
          <${AttemptTable} label="Attempts">
            ${pages.items.map((attempt) => html`
              <${Attempt}
                key=${attempt.id}
                attempt=${attempt}
                webhook=${webhook}
                isOpen=${open === attempt.id}
                isLinked=${open === attempt.id && chosen.current !== attempt.id}
                onToggle=${() => toggle(attempt.id)}
              />
            `)}
          <//>
          <${Older} pages=${pages}>Load more<//>
        `}
      <//>
    </section>
  `;
}

/** The time range of the address, which the charts show, too; empty if it names none. */
function timesOf({ from, to }) {
  return Date.parse(from) < Date.parse(to) ? { from, to } : { from: "", to: "" };
}

/** The attempt that the address names, where the list does not show it. */
function Linked({ id, webhook, onClose }) {
  const load = useLoad((signal) => api.attempt(webhook.id, id, signal), [id]);
  return html`
    <${Loaded} load=${load} what="Reading the attempt" lines=${2}>
      ${(attempt) => html`
        <${AttemptTable} label="Linked attempt">
          <${Attempt} attempt=${attempt} webhook=${webhook} isOpen isLinked onToggle=${onClose} />
        <//>
      `}
    <//>
  `;
}
