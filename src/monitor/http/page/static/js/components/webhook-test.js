/** A test message: sent from a dialog, which shows what came of it and, after a repair, offers to send what waits. */

import { api } from "../api.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { ms } from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { codeInWords, failure } from "../verdict.js";
import { ActionDialog, Dialog } from "./dialog.js";
import { OfferSend } from "./queue.js";
import { Status } from "./status.js";

export function openTest(webhook, onChange) {
  openDialog(() => html`
    <${ActionDialog}
      title="Send a test message"
      verb="Send"
      action=${() => api.testWebhook(webhook.id)}
      onDone=${(attempt) => openResult(webhook, attempt, onChange)}
      onClose=${closeDialog}
    >
      <p>
        A signed <code>monitor.ping</code> goes to <span class="mono break">${webhook.url}</span> now. It does
        not count for health or metrics.
      </p>
    <//>
  `);
}

function openResult(webhook, attempt, onChange) {
  const canSend = attempt.ok && webhook.enabled && !webhook.paused_at && webhook.backlog?.waiting > 0;
  openDialog(() => html`
    <${Dialog} title="Test message" onClose=${closeDialog}>
      <div class="dialog-body">
        <p>
          <${Status} of=${attempt.ok ? "delivered" : "failed"} text=${attempt.ok ? "It arrived" : "Failed"} />${" "}
          ${attempt.ok ? codeInWords(attempt.status_code) : failure(attempt)} in ${ms(attempt.latency_ms)}
        </p>
        ${attempt.response_body && html`
          <h3>Response</h3>
          <pre class="body" tabindex="0">${attempt.response_body}</pre>
        `}
        ${canSend && html`<${OfferSend} webhook=${webhook} onSent=${() => (closeDialog(), onChange())} />`}
      </div>
      <footer class="dialog-foot">
        <a class="button" href=${href(`/webhooks/${webhook.id}`, { attempt: attempt.id })} onClick=${closeDialog}>
          Request and response
        </a>
        <button type="button" class="primary" onClick=${closeDialog}>Close</button>
      </footer>
    <//>
  `);
}
