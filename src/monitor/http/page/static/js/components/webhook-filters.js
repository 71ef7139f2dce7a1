/** What the list of webhooks is narrowed and sorted by. All of it is in the address. */

import { capital, count } from "../format.js";
import { useSettled } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { route, setQuery } from "../router.js";
import { STANDINGS } from "../words.js";
import { FilterSelect } from "./filter-select.js";
import { Icon } from "./icons.js";

const SETTLE_MS = 60;
const NARROWING = ["q", "status", "label", "type", "failing", "alerting", "waiting"];
const SORTS = [
  ["worst", "Worst first"],
  ["name", "Name"],
  ["newest", "Newest first"],
  ["traffic", "Most attempts"],
  ["failures", "Most failures"],
  ["latency", "Slowest"],
  ["waiting", "Most queued"],
];
const SWITCHES = [
  ["failing", "Failing"],
  ["alerting", "Open alerts"],
  ["waiting", "Queued"],
];

export const isFiltered = (query) => NARROWING.some((name) => query[name]);

export function WebhookFilters({ query, counts, field, onList }) {
  const [isOpen, setOpen] = useState(false);
  const chosen = NARROWING.filter((name) => name !== "q" && query[name]).length;
  const statuses = STANDINGS.map((status) => [status, `${capital(status)} (${count(counts?.[status] ?? 0)})`]);
  return html`
    <form class="toolbar webhook-filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${Search} query=${query} field=${field} onList=${onList} />
      <button
        type="button"
        class="filters-toggle"
        aria-expanded=${isOpen}
        aria-controls="webhook-filters"
        onClick=${() => setOpen(!isOpen)}
      >
        Filters${chosen ? ` (${chosen})` : ""}
      </button>
      <div id="webhook-filters" class="filter-fields ${isOpen ? "open" : ""}">
        <${FilterSelect}
          label="Status"
          value=${query.status}
          options=${statuses}
          onChange=${(status) => setQuery({ status })}
        />
        <${FilterText} name="label" label="Label" placeholder="name=value" query=${query} />
        <${FilterText} name="type" label="Event type" placeholder="order.paid" query=${query} />
        ${SWITCHES.map(([name, text]) => html`
          <label key=${name} class="check">
            <input
              type="checkbox"
              checked=${Boolean(query[name])}
              onChange=${(event) => setQuery({ [name]: event.target.checked ? "1" : "" })}
            />
            ${text}
          </label>
        `)}
        <${FilterSelect}
          label="Sort"
          value=${query.sort ?? "worst"}
          options=${SORTS}
          any=${null}
          onChange=${(sort) => setQuery({ sort, reverse: "" })}
        />
        ${isFiltered(query) && html`<a class="small" href="#/webhooks">Clear filters</a>`}
      </div>
    </form>
  `;
}

function Search({ query, field, onList }) {
  const [text, setText] = useState(query.q ?? "");
  const settled = useSettled(text, SETTLE_MS);
  useEffect(() => {
    if ((route.get().query.q ?? "") !== settled) setQuery({ q: settled });
  }, [settled]);
  useEffect(() => {
    // Changed by a link, not by typing.
    if ((query.q ?? "") !== settled) setText(query.q ?? "");
  }, [query.q]);
  const onKey = (event) => {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    event.preventDefault();
    onList();
  };
  return html`
    <label class="search">
      <span class="visually-hidden">Search name, URL, description or label</span>
      <${Icon} name="search" />
      <input
        ref=${field}
        type="search"
        value=${text}
        maxlength="200"
        placeholder="Search name, URL, description, label"
        onInput=${(event) => setText(event.target.value)}
        onKeyDown=${onKey}
      />
    </label>
  `;
}

function FilterText({ name, label, placeholder, query }) {
  return html`
    <label class="inline">
      ${label}${" "}
      <input
        class="short"
        placeholder=${placeholder}
        value=${query[name] ?? ""}
        onChange=${(event) => setQuery({ [name]: event.target.value.trim() })}
      />
    </label>
  `;
}
