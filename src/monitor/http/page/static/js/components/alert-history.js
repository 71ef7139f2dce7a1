/** What happened to an alert, newest first, and a line of one's own. */

import { toldText } from "../alert-words.js";
import { api } from "../api.js";
import { takeAlert } from "../board.js";
import { at, capital, precisely } from "../format.js";
import { useAction } from "../hooks.js";
import { html, useState } from "../html.js";
import { idempotencyKey } from "../idempotency.js";
import { may } from "../session.js";
import { ALERT_ACTIONS } from "../words.js";
import { AreaField, FormProblem, errorsOf } from "./fields.js";
import { Icon } from "./icons.js";

/** @param {{entries: object[], title: string}} props *title* is said already, so it is not repeated */
export function History({ entries, title }) {
  return html`
    <ol class="timeline">
      ${entries.toReversed().map((entry, i) => html`
        <${Entry} key=${entries.length - i} entry=${entry} title=${title} />
      `)}
    </ol>
  `;
}

function Entry({ entry, title }) {
  const { icon, text } = ALERT_ACTIONS[entry.action] ?? { icon: "info", text: entry.action };
  const isUntold = entry.told?.destinations === 0;
  return html`
    <li>
      <${Icon} name=${icon} size=${13} />
      <div>
        <p class="small">
          <b>${capital(text)}</b>
          ${entry.actor !== "system" && html` by ${entry.actor}`}
          ${entry.told && html`
            ${": "}
            ${isUntold ? html`<a href="#/notifications">${toldText(entry.told)}</a>` : html`
              <a href=${`#/events/${entry.event_id}`}>${toldText(entry.told)}</a>
            `}
          `}${" "}
          <time class="muted" datetime=${entry.at} title=${precisely(entry.at)}>${at(entry.at)}</time>
        </p>
        ${entry.title && entry.title !== title && html`<p class="small muted">${entry.title}</p>`}
        ${entry.note && html`<blockquote>${entry.note}</blockquote>`}
      </div>
    </li>
  `;
}

/** A comment changes nothing else and notifies nobody. */
export function CommentBox({ id }) {
  const [text, setText] = useState("");
  const [key, setKey] = useState(idempotencyKey);
  const action = useAction(async () => {
    takeAlert(await api.comment(id, { text }, key));
    setText("");
    setKey(idempotencyKey());
    return true;
  });
  if (!may("operator")) return null;
  return html`
    <form class="comment-box" onSubmit=${(event) => (event.preventDefault(), text.trim() && action.run())}>
      <${AreaField}
        label="Comment"
        rows="2"
        maxlength="2000"
        value=${text}
        error=${errorsOf(action.problem)("/text")}
        onInput=${(event) => setText(event.target.value)}
      />
      <${FormProblem} problem=${action.problem} fields=${["/text"]} />
      <button aria-disabled=${action.isBusy || !text.trim() ? "true" : undefined}>Add comment</button>
    </form>
  `;
}
