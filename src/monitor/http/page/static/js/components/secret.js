/** A secret, shown once. */

import { closeDialog, openDialog } from "../dialogs.js";
import { html } from "../html.js";
import { Dialog } from "./dialog.js";
import { Copyable } from "./fields.js";

/** Shows a secret this once. */
export function openSecret(title, secret, note) {
  openDialog(() => html`
    <${Dialog} title=${title} onClose=${closeDialog}>
      <div class="dialog-body">
        <p>${note}</p>
        <${Copyable} label="Signing secret" value=${secret} />
      </div>
      <footer class="dialog-foot">
        <button type="button" class="primary" onClick=${closeDialog}>I have stored it</button>
      </footer>
    <//>
  `);
}
