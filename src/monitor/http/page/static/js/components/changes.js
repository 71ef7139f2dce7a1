/** What changed in the range of the charts: the key to their marks, and a list. */

import { KEY, MARKS } from "../charts/marks.js";
import { at, plural, precisely } from "../format.js";
import { html } from "../html.js";

/** @param {{changes: {items: object[], complete: boolean}}} props as `/webhooks/{id}/annotations` answers */
export function Changes({ changes }) {
  const { items, complete } = changes;
  if (!items.length) return null;
  const letters = new Set(items.map((one) => MARKS[one.kind]?.[0]));
  return html`
    <details class="figures changes">
      <summary>
        ${plural(items.length, "change")}${complete ? "" : ", more before"}:
        ${Object.entries(KEY)
          .filter(([letter]) => letters.has(letter))
          .map(([letter, text]) => html`<span class="mark-key"><b>${letter}</b> ${text}</span>`)}
      </summary>
      <ul class="list scroll-x" tabindex="0" aria-label="Changes">
        ${items.map((one) => html`
          <li key=${`${one.at} ${one.kind}`} class="small">
            <time class="muted" datetime=${one.at} title=${precisely(one.at)}>${at(one.at)}</time>${" "}
            <b>${MARKS[one.kind]?.[1] ?? one.kind}</b> ${detailOf(one)} by ${one.actor}
          </li>
        `)}
      </ul>
    </details>
  `;
}

function detailOf({ members, alert_id: alert, title }) {
  if (alert) return html`<a href=${`#/alerts/${alert}`}>${title}</a>`;
  return members.length ? members.join(", ").replaceAll("_", " ") : "";
}
