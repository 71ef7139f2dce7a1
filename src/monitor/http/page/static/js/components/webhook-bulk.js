/** What can be done to the webhooks that are ticked: one call for each, a few at a time, failures named. */

import { api, asProblem } from "../api.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { plural } from "../format.js";
import { html, useState } from "../html.js";
import { may } from "../session.js";
import { Dialog } from "./dialog.js";
import { TextField } from "./fields.js";
import { Icon } from "./icons.js";

const AT_ONCE = 4;
const SHOWN = 100;

const ACTIONS = [
  {
    verb: "Pause",
    role: "operator",
    text: "New deliveries queue up until you resume.",
    act: ({ id }) => api.pauseWebhook(id),
  },
  {
    verb: "Resume",
    role: "operator",
    text: "Queued deliveries are sent, 50 a second.",
    act: ({ id }) => api.resumeWebhook(id),
  },
  {
    verb: "Add label",
    role: "admin",
    text: "A label of the same name is replaced.",
    fields: [
      ["name", "Name"],
      ["value", "Value"],
    ],
    act: ({ id }, { name, value }) => api.changeWebhook(id, { labels: { [name]: value } }),
  },
  {
    verb: "Remove label",
    role: "admin",
    text: "Webhooks without it stay as they are.",
    fields: [["name", "Name"]],
    act: ({ id }, { name }) => api.changeWebhook(id, { labels: { [name]: null } }),
  },
  {
    verb: "Delete",
    role: "admin",
    tone: "danger",
    text: "Queued deliveries are cancelled. History is kept until it expires. This cannot be undone.",
    confirm: (n) => `delete ${n}`,
    act: ({ id }) => api.deleteWebhook(id),
  },
];

export function WebhookBulk({ selection, onDone }) {
  const rows = [...selection.items.values()];
  if (!rows.length) return null;
  const start = (action) => openDialog(() => html`<${Bulk} ...${{ action, rows, selection, onDone }} />`, { stays: true });
  return html`
    <div class="bulk-bar" role="group" aria-label="Selected webhooks">
      <b>${plural(rows.length, "webhook")} selected</b>
      ${ACTIONS.filter(({ role }) => may(role)).map((action) => html`
        <button key=${action.verb} type="button" class="small ${action.tone ?? ""}" onClick=${() => start(action)}>
          ${action.verb}
        </button>
      `)}
      <button type="button" class="small bare" onClick=${selection.clear}>Clear selection</button>
    </div>
  `;
}

function Bulk({ action, rows, selection, onDone }) {
  const [states, setStates] = useState(null);
  const isOver = states && Object.keys(states).length === rows.length;
  const close = () => {
    closeDialog();
    if (!states) return;
    selection.setAll(rows.filter((row) => states[row.id] === true), false);
    onDone();
  };
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    setStates({});
    await eachOf(rows, async (row) => {
      const result = await action.act(row, given).then(() => true, asProblem);
      setStates((before) => ({ ...before, [row.id]: result }));
    });
  };
  const title = `${action.verb}: ${plural(rows.length, "webhook")}`;
  return html`
    <${Dialog} title=${title} onClose=${() => (!states || isOver) && close()}>
      ${states ? html`<${Progress} ...${{ rows, states, isOver, close }} />` : html`
        <form onSubmit=${submit}>
          <div class="dialog-body">
            <p>${action.text}</p>
            <${Names} rows=${rows} />
            ${action.fields?.map(([name, label]) => html`
              <${TextField} key=${name} name=${name} label=${label} required maxlength=${name === "name" ? 64 : 256} />
            `)}
            ${action.confirm && html`
              <${TextField}
                label="Type “${action.confirm(rows.length)}” to confirm"
                name="confirm"
                required
                pattern=${action.confirm(rows.length)}
              />
            `}
          </div>
          <footer class="dialog-foot">
            <button type="button" onClick=${close}>Cancel</button>
            <button class="primary ${action.tone ?? ""}">${action.verb}</button>
          </footer>
        </form>
      `}
    <//>
  `;
}

function Names({ rows }) {
  const rest = rows.length - SHOWN;
  return html`
    <ul class="bulk-names small">
      ${rows.slice(0, SHOWN).map((row) => html`<li key=${row.id} class="clip">${row.name}</li>`)}
      ${rest > 0 && html`<li class="muted">and ${plural(rest, "other")}</li>`}
    </ul>
  `;
}

function Progress({ rows, states, isOver, close }) {
  const done = Object.keys(states).length;
  const failed = rows.filter((row) => states[row.id] && states[row.id] !== true);
  return html`
    <div class="dialog-body">
      <progress max=${rows.length} value=${done} aria-label="Progress"></progress>
      <p role="status">
        ${isOver ? `${done - failed.length} of ${plural(rows.length, "webhook")} done` : "Working…"}
        ${failed.length > 0 ? `, ${failed.length} failed` : ""}
      </p>
      <ul class="bulk-names small">
        ${failed.map((row) => html`
          <li key=${row.id} class="status bad">
            <${Icon} name="critical" size=${13} />
            <span class="break">${row.name}: ${states[row.id].message}</span>
          </li>
        `)}
      </ul>
    </div>
    <footer class="dialog-foot">
      <button type="button" class="primary" aria-disabled=${!isOver} onClick=${() => isOver && close()}>Close</button>
    </footer>
  `;
}

/** Calls *act* for each of *rows*, `AT_ONCE` at a time. */
async function eachOf(rows, act) {
  const waiting = [...rows];
  const worker = async () => {
    while (waiting.length) await act(waiting.shift());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
