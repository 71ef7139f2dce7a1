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
import { useStore } from "../store.js";

export function Silences() {
  const { query } = useStore(route);
  const active = query.active !== "false";
  const load = useLoad((signal) => api.silences({ active, limit: 200 }, signal), [active], { everyMs: 30_000 });
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
        value=${active ? "" : "false"}
        options=${[
          ["", "Active"],
          ["false", "Ended"],
        ]}
        onChange=${(of) => setQuery({ active: of })}
      />
    </div>
    <section class="panel" aria-label="List of silences">
      <${Loaded}
        load=${load}
        what="Reading silences"
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title=${active ? "No active silences" : "No ended silences"} icon="silences">
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
  ]
    .filter(Boolean)
    .join(", ");
  const end = () =>
    openDialog(() => html`
      <${ActionDialog}
        title="End the silence"
        verb="End silence"
        action=${() => api.endSilence(silence.id)}
        onClose=${closeDialog}
        onDone=${() => (closeDialog(), toast("The silence has ended."), onEnd())}
      >
        <p>${silence.reason}</p>
        <p>Alerts that are still open are notified.</p>
      <//>
    `);
  return html`
    <li class="worst-row">
      <span class="status ${silence.active ? "info" : "none"}">
        <${Icon} name="silences" />
        ${silence.active ? "Active" : "Ended"}
      </span>
      <div class="grow">
        <b>${silence.reason}</b>
        <p class="small muted">
          ${silence.webhook_id && html`
            <a href=${`#/webhooks/${silence.webhook_id}`}>${silence.webhook_name ?? "a deleted webhook"}</a>
            ${what && ", "}
          `}
          ${what} · by ${silence.created_by} · ${plural(silence.matches, "open alert")} silenced
        </p>
        <p class="small muted">
          ${silence.active ? "Ends" : "Ended"}${" "}
          <time datetime=${silence.ends_at} title=${precisely(silence.ends_at)}>${atAndAge(silence.ends_at, now)}</time>
        </p>
      </div>
      ${silence.active && html`
        <button type="button" class="small" aria-label="End: ${silence.reason}" onClick=${end}>End</button>
      `}
    </li>
  `;
}
