/** What narrows the list of deliveries; all of it stands in the address. */

import { api } from "../api.js";
import { stateOf } from "../delivery-filter.js";
import { useLoad, useSettled } from "../hooks.js";
import { html, useEffect, useId, useState } from "../html.js";
import { setQuery } from "../router.js";
import { kindOfError } from "../verdict.js";
import { ATTEMPT_ERRORS, DELIVERY_STATES } from "../words.js";
import { FilterSelect } from "./filter-select.js";
import { Icon } from "./icons.js";
import { SettledSearch } from "./settled-search.js";
import { TimeRange } from "./time-range.js";

const ERRORS = [...ATTEMPT_ERRORS, "expired", "replaced"];

export function DeliveryFilters({ query, name, focus }) {
  return html`
    <div class="toolbar" role="search" aria-label="Filter deliveries">
      <${FilterSelect}
        label="State"
        value=${stateOf(query)}
        any=${null}
        options=${[["any", "any"], ...DELIVERY_STATES]}
        onChange=${(state) => setQuery({ state })}
      />
      <${FilterSelect}
        label="Error"
        value=${query.error}
        options=${(query.error && !ERRORS.includes(query.error) ? [...ERRORS, query.error] : ERRORS).map((error) => [
          error,
          kindOfError(error),
        ])}
        onChange=${(error) => setQuery({ error })}
      />
      <${WebhookFilter} query=${query} name=${name} />
      <${SettledSearch}
        label="Event type, or a prefix such as order.*"
        placeholder="type or order.*"
        name="type"
        query=${query}
        field=${focus}
      />
      <${SettledSearch} label="Event id" placeholder="event id" name="event" query=${query} pattern=${UUID} />
      <${TimeRange} query=${query} />
    </div>
  `;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Names are looked up on the server while they are typed. */
function WebhookFilter({ query, name }) {
  const id = useId();
  const [text, setText] = useState("");
  const settled = useSettled(text.trim());
  const found = useLoad(
    async (signal) => (settled ? (await api.webhooks({ q: settled, limit: 20 }, signal)).items : []),
    [settled],
  );
  useEffect(() => {
    const chosen = found.data?.find((one) => one.name === settled);
    if (chosen && settled) (setText(""), setQuery({ webhook: chosen.id }));
  }, [found.data]);
  if (query.webhook)
    return html`
      <button type="button" class="small" onClick=${() => setQuery({ webhook: "" })}>
        Webhook: ${name ?? "one"} <${Icon} name="close" size=${11} />
        <span class="visually-hidden">Remove the filter</span>
      </button>
    `;
  return html`
    <label class="search small">
      <span class="visually-hidden">Webhook, by name</span>
      <${Icon} name="search" />
      <input
        type="search"
        list=${id}
        placeholder="webhook"
        value=${text}
        onInput=${(event) => setText(event.target.value)}
      />
      <datalist id=${id}>
        ${(found.data ?? []).map((one) => html`<option key=${one.id} value=${one.name}></option>`)}
      </datalist>
    </label>
  `;
}
