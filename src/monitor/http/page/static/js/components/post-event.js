/** The form that posts an event, beside the deliveries that come of it. */

import { api } from "../api.js";
import { plural } from "../format.js";
import { useAction } from "../hooks.js";
import { html, useState } from "../html.js";
import { Deliveries } from "./deliveries.js";
import { AreaField, FormProblem, TextField, errorsOf } from "./fields.js";
import { Icon } from "./icons.js";
import { Empty } from "./states.js";

/** Posts an event to try things out, and follows where it goes. */
export function PostEvent() {
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
          <button class="primary" aria-disabled=${action.isBusy ? "true" : undefined}>
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
