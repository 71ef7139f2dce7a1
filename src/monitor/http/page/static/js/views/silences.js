/** Silences: muted notifications, and a preview of the alerts they match. */

import { api } from "../api.js";
import { ActionDialog } from "../components/dialog.js";
import { Icon } from "../components/icons.js";
import { Segments } from "../components/segments.js";
import { Empty, Loaded } from "../components/states.js";
import { toast } from "../components/toast.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { atAndAge, plural, precisely } from "../format.js";
import { useLoad, useNow } from "../hooks.js";
import { html } from "../html.js";
import { route, setQuery } from "../router.js";
import { inWords } from "../silence-spec.js";
import { useStore } from "../store.js";

const STATES = {
  active: { tone: "info", text: "Active" },
  scheduled: { tone: "none", text: "Scheduled" },
  ended: { tone: "none", text: "Ended" },
};

export function Silences() {
  const { query } = useStore(route);
  const state = STATES[query.of] ? query.of : "active";
  const load = useLoad((signal) => api.silences({ state, limit: 200 }, signal), [state], { everyMs: 30_000 });
  return html`
    <p class="crumbs">
      <a href="#/alerts">
        <${Icon} name="left" size=${12} /> Alerts
      </a>
    </p>
    <div class="title-row">
      <h1 tabindex="-1">Silences</h1>
      <a class="button primary" href="#/silences/new">
        <${Icon} name="plus" /> New silence
      </a>
    </div>
    <div class="toolbar">
      <${Segments}
        label="Filter silences"
        value=${state === "active" ? "" : state}
        options=${[
          ["", "Active"],
          ["scheduled", "Scheduled"],
          ["ended", "Ended"],
        ]}
        onChange=${(of) => setQuery({ of })}
      />
    </div>
    <section class="panel" aria-label="List of silences">
      <${Loaded}
        load=${load}
        what="Reading silences"
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title="No ${state} silences" icon="silences">
          A silence mutes notifications. Alerts are still raised and shown.
        <//>`}
      >
        ${(page) => html`
          <ul class="list">
            ${page.items.map((silence) => html`
              <${Item} key=${silence.id} silence=${silence} onEnd=${load.reload} />
            `)}
          </ul>
        `}
      <//>
    </section>
  `;
}

function Item({ silence, onEnd }) {
  const now = useNow();
  const what = [
    silence.kind && `kind ${silence.kind}`,
    silence.label && `label ${silence.label}`,
    silence.hold_deliveries && "holding deliveries",
  ]
    .filter(Boolean)
    .join(", ");
  const ask = (title, verb, action, said, detail) => () =>
    openDialog(() => html`
      <${ActionDialog}
        title=${title}
        verb=${verb}
        action=${action}
        onClose=${closeDialog}
        onDone=${() => (closeDialog(), toast(said), onEnd())}
      >
        <p>${silence.reason}</p>
        <p>${detail}</p>
      <//>
    `);
  const released = silence.hold_deliveries ? " Held deliveries are sent." : "";
  const ended = `Alerts that are still open are notified.${released}`;
  const end = ask(
    "End the silence",
    "End silence",
    () => api.endSilence(silence.id),
    "The silence has ended.",
    `${ended}${silence.recurrence ? " It does not repeat any more." : ""}`,
  );
  const endOccurrence = ask(
    "End this occurrence",
    "End occurrence",
    () => api.endOccurrence(silence.id),
    "This occurrence has ended.",
    `${ended} The next occurrences stay.`,
  );
  return html`
    <li class="worst-row">
      <span class="status ${STATES[silence.state].tone}">
        <${Icon} name="silences" />
        ${STATES[silence.state].text}
      </span>
      <div class="grow">
        <b>${silence.reason}</b>
        <p class="small muted">
          ${silence.webhook_id && html`
            <a href=${`#/webhooks/${silence.webhook_id}`}>${silence.webhook_name ?? "a deleted webhook"}</a>
            ${what && ", "}
          `}
          ${what} · by ${silence.created_by}
          ${silence.active && ` · ${plural(silence.matches, "open alert")} silenced`}
        </p>
        ${silence.recurrence && html`<p class="small muted">${inWords(silence.recurrence)}</p>`}
        <p class="small muted">
          ${silence.active && html`<${Moment} what="Ends" at=${silence.active_until} now=${now} />`}
          ${silence.active && silence.next_starts_at && " · "}
          ${silence.next_starts_at && html`<${Moment} what="Next" at=${silence.next_starts_at} now=${now} />`}
          ${silence.state === "ended" && html`<${Moment} what="Ended" at=${silence.ends_at} now=${now} />`}
        </p>
      </div>
      ${silence.active && silence.recurrence && html`
        <button type="button" class="small" aria-label="End this one: ${silence.reason}" onClick=${endOccurrence}>
          End this one
        </button>
      `}
      ${silence.state !== "ended" && html`
        <button type="button" class="small" aria-label="End: ${silence.reason}" onClick=${end}>End</button>
      `}
    </li>
  `;
}

function Moment({ what, at: time, now }) {
  return html`${what}${" "}<time datetime=${time} title=${precisely(time)}>${atAndAge(time, now)}</time>`;
}
