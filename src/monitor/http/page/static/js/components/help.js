/** The keyboard, on one page. */

import { closeDialog, openDialog } from "../dialogs.js";
import { html } from "../html.js";
import { keyboard, setKeyboard } from "../keys.js";
import { useStore } from "../store.js";
import { Dialog } from "./dialog.js";

/** @type {[string, [string, string][]][]} */
const GROUPS = [
  [
    "Everywhere",
    [
      ["?", "this help"],
      ["/", "search"],
      ["g o", "overview"],
      ["g w", "webhooks"],
      ["g a", "alerts"],
      ["g s", "silences"],
      ["g n", "notifications"],
      ["g e", "events"],
      ["g d", "deliveries"],
      ["g l", "live activity"],
      ["g j", "jobs"],
      ["g y", "system"],
      ["g u", "audit log"],
    ],
  ],
  [
    "In lists",
    [
      ["j", "next"],
      ["k", "previous"],
      ["Enter", "open"],
    ],
  ],
  [
    "Alerts",
    [
      ["a", "acknowledge the current alert or the selection"],
      ["x", "select"],
      ["r", "resolve"],
      ["j k", "the next and previous alert, also in the open pane"],
      ["Esc", "close the alert"],
    ],
  ],
  ["Deliveries", [["x", "select"]]],
  [
    "Webhooks",
    [
      ["n", "new"],
      ["x", "select the current row; Space too"],
      ["e", "edit"],
      ["t", "send a test"],
      ["p", "pause, resume"],
      ["s", "silence alerts"],
      ["r", "replay"],
    ],
  ],
  ["Live activity", [["p", "pause, continue"]]],
];

export const openHelp = () => openDialog(() => html`<${Help} />`);

function Help() {
  const { isOn } = useStore(keyboard);
  return html`
    <${Dialog} title="Keyboard" onClose=${closeDialog} isWide=${true}>
      <div class="dialog-body keys">
        ${GROUPS.map(([title, keys]) => html`
          <section key=${title}>
            <h3>${title}</h3>
            <dl>
              ${keys.map(([key, what]) => html`
                <div>
                  <dt>
                    ${key.split(" ").map((one) => html`<kbd>${one}</kbd>${" "}`)}
                  </dt>
                  <dd>${what}</dd>
                </div>
              `)}
            </dl>
          </section>
        `)}
      </div>
      <footer class="dialog-foot">
        <label class="check">
          <input type="checkbox" checked=${isOn} onChange=${(event) => setKeyboard(event.target.checked)} />${" "}
          Enable single-key shortcuts
        </label>
        <button type="button" class="primary" onClick=${closeDialog}>Close</button>
      </footer>
    <//>
  `;
}
