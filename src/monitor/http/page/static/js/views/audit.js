/** Who changed what, and when. */

import { api } from "../api.js";
import { Disclosure } from "../components/disclosure.js";
import { Export, members } from "../components/export.js";
import { FilterSelect } from "../components/filter-select.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { TimeRange, spanOf } from "../components/time-range.js";
import { at, capital, precisely } from "../format.js";
import { usePages, useSettled } from "../hooks.js";
import { html, useState } from "../html.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";

const ACTIONS = [
  ["webhook.*", "Webhooks"],
  ["alert.*", "Alerts"],
  ["silence.*", "Silences"],
  ["event.*", "Events"],
  ["delivery.*", "Deliveries"],
  ["job.*", "Jobs"],
  ["token.*", "Tokens"],
];
const RANGE = "all";
const COLUMNS = members("at", "subject", "role", "action", "target", "before", "after", "request_id", "client", "id");

export function Audit() {
  const { query } = useStore(route);
  const [subject, setSubject] = useState(query.subject ?? "");
  const [target, setTarget] = useState(query.target ?? "");
  const settled = useSettled(subject.trim());
  const about = useSettled(target.trim());
  const { action = "", range, from, to } = query;
  const read = (page, signal) => {
    const filter = { subject: settled, target: targetOf(about), action, ...spanOf({ range, from, to }, RANGE) };
    return api.audit({ ...filter, ...page }, signal);
  };
  const pages = usePages(
    (cursor, signal) => {
      setQuery({ subject: settled, target: about });
      return read({ limit: 50, cursor }, signal);
    },
    [settled, about, action, range, from, to],
  );
  const isFiltered = settled || about || action || from || to || (range ?? RANGE) !== RANGE;
  const clear = () => (setSubject(""), setTarget(""), setQuery({ action: "", range: "", from: "", to: "" }));
  return html`
    <div class="title-row">
      <h1 tabindex="-1">Audit log</h1>
      <${Export} name="audit log" columns=${COLUMNS} read=${read} />
    </div>
    <div class="toolbar">
      <label class="inline">
        Who${" "}
        <input class="short" value=${subject} onInput=${(event) => setSubject(event.target.value)} />
      </label>
      <label class="inline">
        Target${" "}
        <input
          value=${target}
          placeholder="webhook:… or its id"
          onInput=${(event) => setTarget(event.target.value)}
        />
      </label>
      <${FilterSelect}
        label="What"
        value=${action}
        options=${ACTIONS}
        onChange=${(value) => setQuery({ action: value })}
      />
      <${TimeRange} query=${query} otherwise=${RANGE} label="Changed in" />
      ${isFiltered && html`<button type="button" class="small" onClick=${clear}>Clear filters</button>`}
    </div>
    <section class="panel" aria-label="List of changes">
      <${Loaded}
        load=${pages.load}
        what="Reading the audit log"
        lines=${8}
        isEmpty=${(page) => !page.items.length && page.next_cursor === null}
        empty=${html`<${Empty} title=${isFiltered ? "No change matches" : "No changes yet"} icon="audit">
          Every change by a person or a token has a row here.
        <//>`}
      >
        ${() => html`
          <ul class="list">
            ${pages.items.map((row) => html`<${Row} key=${row.id} row=${row} />`)}
          </ul>
          <${Older} pages=${pages}>Load more<//>
        `}
      <//>
    </section>
  `;
}

/** An id alone means a webhook. */
const targetOf = (text) => (/^[\da-f-]{36}$/.test(text) ? `webhook:${text}` : text);

const PLACES = { webhook: "/webhooks/", alert: "/alerts/", event: "/events/" };

function Row({ row }) {
  const [isOpen, setOpen] = useState(false);
  const [kind, id] = row.target.split(":");
  const place = PLACES[kind] && `${PLACES[kind]}${id}`;
  const hasChange = row.before !== null || row.after !== null;
  return html`
    <li class="delivery">
      <div class="worst-row flat">
        <time class="small muted" datetime=${row.at} title=${precisely(row.at)}>${at(row.at)}</time>
        <div class="grow">
          <b>${sentence(row.action)}</b>
          ${nameOf(row) && html` <span>${nameOf(row)}</span>`}
          <p class="small muted">
            by <b>${row.subject}</b>${row.role ? `, ${row.role}` : ""}
            ${row.client && html` from <span class="mono">${row.client}</span>`} · ${" "}
            ${place ? html`<a class="mono" href=${`#${place}`}>${row.target}</a>` : html`
              <span class="mono">${row.target}</span>
            `}
          </p>
        </div>
        ${hasChange && html`
          <${Disclosure}
            label="Changed members: ${sentence(row.action)}, ${at(row.at)}"
            isOpen=${isOpen}
            onToggle=${() => setOpen(!isOpen)}
          />
        `}
      </div>
      ${isOpen && html`<${Change} row=${row} />`}
    </li>
  `;
}

const nameOf = ({ before, after }) => after?.name ?? before?.name ?? null;

/** `webhook.rotate_secret` → Webhook: rotate secret. */
function sentence(action) {
  const [kind, verb = ""] = action.split(".");
  return capital(`${kind}: ${verb.replaceAll("_", " ")}`);
}

function Change({ row: { before, after, request_id: request } }) {
  const members = changedMembers(before ?? {}, after ?? {});
  return html`
    <div class="scroll-x" tabindex="0" role="region" aria-label="Changed members">
      <table class="table compact">
        <thead>
          <tr>
            <th scope="col">Member</th>
            <th scope="col">Before</th>
            <th scope="col">After</th>
          </tr>
        </thead>
        <tbody>
          ${members.map((name) => html`
            <tr key=${name}>
              <th scope="row" class="mono">${name}</th>
              <td class="mono">${shown(before?.[name])}</td>
              <td class="mono">${shown(after?.[name])}</td>
            </tr>
          `)}
        </tbody>
      </table>
    </div>
    ${request && html`<p class="small muted">Request <span class="mono">${request}</span></p>`}
  `;
}

/** Names of what differs; the version and its time always do. */
function changedMembers(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
  return names.filter(
    (name) =>
      !["version", "updated_at"].includes(name) && JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  );
}

const shown = (value) => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));
