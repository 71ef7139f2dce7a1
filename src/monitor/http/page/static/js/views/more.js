/** The views that have no place at the foot of a phone. */

import { Icon } from "../components/icons.js";
import { html } from "../html.js";
import { AT_THE_FOOT, TABS } from "../places.js";
import { may } from "../session.js";

const OTHERS = [
  ["silences", "/silences", "Silences", "operator"],
  ["jobs", "/jobs", "Jobs", "viewer"],
];

export function More() {
  const shown = [...TABS, ...OTHERS].filter(([of, , , role]) => !AT_THE_FOOT.includes(of) && may(role ?? "viewer"));
  return html`
    <h1 tabindex="-1">More</h1>
    <section class="panel" aria-label="Other views">
      <ul class="list places">
        ${shown.map(([of, path, text]) => html`
          <li key=${of}>
            <a href=${`#${path}`}>
              <${Icon} name=${of} size=${17} />
              <span class="grow">${text}</span>
              <${Icon} name="right" size=${13} />
            </a>
          </li>
        `)}
      </ul>
    </section>
  `;
}
