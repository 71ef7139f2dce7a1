/** Events: post one to try things out, and follow where it goes. */

import { api } from "../api.js";
import { Deliveries } from "../components/deliveries.js";
import { AreaField, FormProblem, TextField, errorsOf } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { Empty, Loaded, Older } from "../components/states.js";
import { clockAndAge, plural, precisely } from "../format.js";
import { useAction, useNow, usePages, useSettled } from "../hooks.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";

export function Events() {
  return html`
    <h1 tabindex="-1">Events</h1>
    ${may("admin") && html`<${Post} />`}
    <${Recent} />
  `;
}

function Post() {
  const [form, setForm] = useState({ type: "order.paid", payload: '{\n  "order": 1\n}', labels: "" });
  const [posted, setPosted] = useState(null);
  const [local, setLocal] = useState(null);
  const action = useAction(api.postEvent);
  const wrong = errorsOf(action.problem);
  const bind = (name) => ({
    value: form[name],
    onInput: (event) => setForm({ ...form, [name]: event.target.value }),
  });
  const submit = async (event) => {
    event.preventDefault();
    let body;
    try {
      body = bodyOf(form);
      setLocal(null);
    } catch (error) {
      return setLocal(error.message);
    }
    const answer = await action.run(body);
    return answer && setPosted(answer);
  };
  return html`
    <div class="split has-detail even">
      <form class="card form" onSubmit=${submit} aria-labelledby="post">
        <h2 id="post">Post a test event</h2>
        <${TextField} label="Type" class="mono" required error=${wrong("/type")} ...${bind("type")} />
        <${AreaField}
          label="Payload, JSON"
          class="mono"
          rows="6"
          error=${local ?? wrong("/payload")}
          hint="Delivered byte for byte as entered."
          ...${bind("payload")}
        />
        <${TextField}
          label="Labels"
          class="mono"
          placeholder="team=billing region=eu"
          error=${wrong("/labels")}
          ...${bind("labels")}
        />
        <${FormProblem} problem=${action.problem} fields=${["/type", "/payload", "/labels"]} />
        <footer class="form-foot">
          <button class="primary" disabled=${action.isBusy}>
            <${Icon} name="events" /> Post event
          </button>
        </footer>
      </form>
      <section class="panel" aria-labelledby="follow" aria-live="polite">
        <header class="panel-head">
          <h2 id="follow">Its deliveries</h2>
          ${posted && html`<a href=${`#/events/${posted.id}`}>Event</a>`}
        </header>
        ${posted ? html`
          <p>
            Accepted:${" "}
            ${posted.deliveries === 0
              ? "no webhook subscribes to it."
              : `queued for ${plural(posted.deliveries, "webhook")}.`}
          </p>
          <${Deliveries} key=${posted.id} eventId=${posted.id} />
        ` : html`
          <${Empty} title="Nothing posted yet" icon="events">Post an event to follow its deliveries.<//>
        `}
      </section>
    </div>
  `;
}

/** Written by hand, so that the payload goes out exactly as it was typed. */
function bodyOf({ type, payload, labels }) {
  try {
    JSON.parse(payload);
  } catch (error) {
    throw new Error(`The payload is not JSON: ${error.message}`);
  }
  const pairs = labels
    .split(/\s+/)
    .filter(Boolean)
    .map((text) => text.split(/=(.*)/s).slice(0, 2));
  const rest = JSON.stringify({
    type: type.trim(),
    labels: Object.fromEntries(pairs.map(([name, value]) => [name, value ?? ""])),
  });
  return `${rest.slice(0, -1)},"payload":${payload}}`;
}

function Recent() {
  const { query } = useStore(route);
  const now = useNow();
  const [type, setType] = useState(query.type ?? "");
  const settled = useSettled(type.trim());
  const field = useRef(null);
  const pages = usePages(
    (cursor, signal) => api.events({ type: settled, limit: 30, cursor }, signal),
    [settled],
    { everyMs: 10_000 },
  );
  useEffect(() => {
    if ((route.get().query.type ?? "") !== settled) setQuery({ type: settled });
  }, [settled]);
  useKeys({ "/": () => field.current?.focus() });
  return html`
    <section class="panel" aria-labelledby="recent">
      <header class="panel-head">
        <h2 id="recent">Recent events</h2>
        <label class="search small">
          <span class="visually-hidden">Exact type</span>
          <${Icon} name="search" />
          <input
            ref=${field}
            type="search"
            placeholder="exact type   /"
            value=${type}
            onInput=${(event) => setType(event.target.value)}
          />
        </label>
      </header>
      <${Loaded}
        load=${pages.load}
        what="Reading events"
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title="No events" icon="events">
          ${settled ? "There is none of this type." : "Producers post them to /api/v1/events."}
        <//>`}
      >
        ${() => html`
          <div class="scroll-x">
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">Type</th>
                  <th scope="col">Accepted</th>
                  <th scope="col">Labels</th>
                </tr>
              </thead>
              <tbody>
                ${pages.items.map((event) => html`
                  <tr key=${event.id}>
                    <td>
                      <a class="mono" href=${`#/events/${event.id}`}>${event.type}</a>
                    </td>
                    <td>
                      <time datetime=${event.created_at} title=${precisely(event.created_at)}>
                        ${clockAndAge(event.created_at, now)}
                      </time>
                    </td>
                    <td>
                      ${Object.entries(event.labels).map(([name, value]) => html`
                        <span class="tag mono">
                          ${name}=${value}
                        </span>${" "}
                      `)}
                    </td>
                  </tr>
                `)}
              </tbody>
            </table>
          </div>
          <${Older} pages=${pages}>Older events<//>
        `}
      <//>
    </section>
  `;
}
