/** What found a webhook disabled: counted and offered when it is enabled. */

import { api } from "../api.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { plural } from "../format.js";
import { html } from "../html.js";
import { Dialog } from "./dialog.js";

const DAY_MS = 86_400_000;

/**
 * @param {object} webhook as it is, disabled
 * @returns {Promise<boolean | null>} whether to deliver what it missed, and not asked if that is nothing; null to keep
 *   all as it is
 */
export async function askForBackfill(webhook) {
  const from = webhook.disabled_at ?? webhook.updated_at;
  // The server ends the range at its own present.
  const to = new Date(Date.now() + DAY_MS).toISOString();
  const { count } = await api.replay(webhook.id, { source: "events", from, to, dry_run: true });
  if (!count) return false;
  return new Promise((resolve) => {
    const answer = (wanted) => () => {
      closeDialog();
      resolve(wanted);
    };
    openDialog(() => html`
      <${Dialog} title="Deliver what it missed?" onClose=${answer(null)}>
        <div class="dialog-body">
          <p>
            ${plural(count, "event")} found <b>${webhook.name}</b> disabled. Deliver ${count === 1 ? "it" : "them"}
            ? New events go first.
          </p>
        </div>
        <footer class="dialog-foot">
          <button type="button" onClick=${answer(false)}>No, enable only</button>
          <button type="button" class="primary" onClick=${answer(true)}>Enable and deliver</button>
        </footer>
      <//>
    `);
  });
}
