/** Delivering again: by time and state, counted before it is done. */

import { api } from "../api.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { fieldTime, plural, timeOfField } from "../format.js";
import { useAction, useLoad } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { Dialog } from "./dialog.js";
import { FormProblem, SelectField, TextField } from "./fields.js";

const SOURCES = [
  ["deliveries", "deliveries that ended"],
  ["events", "events that it has no delivery of"],
];

const STATES = [
  ["failed", "failed: no attempts left"],
  ["cancelled", "cancelled"],
  ["quarantined", "quarantined"],
  ["delivered", "delivered: the receiver gets them twice"],
];

export function openReplay(webhook) {
  openDialog(() => html`<${Replay} webhook=${webhook} />`);
}

function Replay({ webhook }) {
  const now = new Date();
  const [spec, setSpec] = useState({
    from: fieldTime(new Date(now.getTime() - 86_400_000)),
    to: fieldTime(new Date(now.getTime() + 60_000)),
    states: ["failed"],
    source: "deliveries",
  });
  const [counted, setCounted] = useState(null);
  const [job, setJob] = useState(null);
  const change = (patch) => (setCounted(null), setSpec({ ...spec, ...patch }));
  const isBackfill = spec.source === "events";
  const body = (dry_run) => ({
    from: timeOfField(spec.from).toISOString(),
    to: timeOfField(spec.to).toISOString(),
    source: spec.source,
    dry_run,
    ...(isBackfill ? {} : { states: spec.states }),
  });
  const action = useAction(async () => {
    if (counted === null) setCounted((await api.replay(webhook.id, body(true))).count);
    else setJob(await api.replay(webhook.id, body(false)));
    return true;
  });
  const toggle = (state) =>
    change({
      states: spec.states.includes(state)
        ? spec.states.filter((one) => one !== state)
        : [...spec.states, state],
    });
  const canSend = (isBackfill || spec.states.length > 0) && counted !== 0;
  if (job) return html`<${Progress} first=${job} />`;
  return html`
    <${Dialog} title="Replay deliveries" onClose=${closeDialog}>
      <form onSubmit=${(event) => (event.preventDefault(), canSend && action.run())}>
        <div class="dialog-body">
          <p>
            ${isBackfill ? html`
              Stored events that match <b>${webhook.name}</b> now are delivered, if it has no delivery of them.
            ` : html`
              Deliveries of <b>${webhook.name}</b> are sent again with their original <code>webhook-id</code>.
            `}
            ${webhook.ordered ? " New deliveries go before them; among themselves they keep their order." : ""}
          </p>
          <${SelectField}
            label="What"
            options=${SOURCES}
            value=${spec.source}
            onInput=${(event) => change({ source: event.target.value })}
          />
          <div class="row">
            <${TextField}
              label="Accepted from"
              type="datetime-local"
              required
              value=${spec.from}
              onInput=${(event) => change({ from: event.target.value })}
            />
            <${TextField}
              label="to"
              type="datetime-local"
              required
              value=${spec.to}
              onInput=${(event) => change({ to: event.target.value })}
            />
          </div>
          ${!isBackfill && html`
            <fieldset>
              <legend>States</legend>
              ${STATES.map(([state, text]) => html`
                <label class="check">
                  <input type="checkbox" checked=${spec.states.includes(state)} onChange=${() => toggle(state)} />${" "}
                  ${text}
                </label>
              `)}
            </fieldset>
          `}
          <div aria-live="polite">
            ${counted !== null && html`
              <p class="notice ${counted ? "info" : ""}">
                ${counted
                  ? `${plural(counted, "delivery", "deliveries")} will be ${isBackfill ? "made" : "sent again"}.`
                  : isBackfill
                    ? "No event matches. Choose another range."
                    : "No delivery matches. Choose another range or state."}
              </p>
            `}
          </div>
          <${FormProblem} problem=${action.problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" onClick=${closeDialog}>Cancel</button>
          <button
            class="primary"
            aria-disabled=${action.isBusy || !canSend ? "true" : undefined}
          >
            ${counted ? `Send ${plural(counted, "delivery", "deliveries")}` : "Count"}
          </button>
        </footer>
      </form>
    <//>
  `;
}

const ENDS = {
  done: "are queued. Done.",
  cancelled: "are queued. Cancelled.",
  failed: "are queued. It failed; the log of the workers says why.",
};

function Progress({ first }) {
  const [isOver, setOver] = useState(first.state !== "running");
  const load = useLoad((signal) => api.replayJob(first.id, signal), [first.id], {
    everyMs: isOver ? 0 : 1_000,
  });
  const job = load.data ?? first;
  useEffect(() => setOver(job.state !== "running"), [job.state]);
  return html`
    <${Dialog} title="Replay" onClose=${closeDialog}>
      <div class="dialog-body" aria-live="polite">
        <progress value=${job.queued} max=${Math.max(job.total, 1)} aria-label="Progress"></progress>
        <p>
          ${job.queued} of ${plural(job.total, "delivery", "deliveries")} ${ENDS[job.state] ?? "are queued…"}
        </p>
        <${FormProblem} problem=${load.error} />
      </div>
      <footer class="dialog-foot">
        <a class="button" href="#/jobs" onClick=${closeDialog}>All jobs</a>
        <button type="button" class="primary" onClick=${closeDialog}>Close</button>
      </footer>
    <//>
  `;
}
