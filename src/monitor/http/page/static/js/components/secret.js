/** A secret, shown once, and what to do with it. */

import { closeDialog, openDialog } from "../dialogs.js";
import { html, useRef } from "../html.js";
import { CopyButton, CopyField } from "./copy.js";
import { Dialog } from "./dialog.js";

const SNIPPETS = [
  [
    "Python",
    `# pip install standardwebhooks
import os

from standardwebhooks import Webhook

# body: the bytes as received. Raises if the signature is wrong.
Webhook(os.environ["WEBHOOK_SECRET"]).verify(body, headers)`,
  ],
  [
    "Node.js",
    `// npm install standardwebhooks
const { Webhook } = require("standardwebhooks");

// body: the text as received. Throws if the signature is wrong.
new Webhook(process.env.WEBHOOK_SECRET).verify(body, headers);`,
  ],
];

/**
 * Shows a secret this once; nothing but its own buttons closes it.
 *
 * @param {{title: string, secret: string, note: string, signature?: "v1"|"v1a", onTest?: () => void}} options `onTest`
 *   opens the test message, the next step after a webhook was created
 */
export function openSecret({ title, secret, note, signature = "v1", onTest }) {
  const test = () => {
    closeDialog();
    onTest?.();
  };
  openDialog(() => html`
    <${Dialog} title=${title}>
      <div class="dialog-body">
        <p>${note}</p>
        <${CopyField} label="Signing secret" value=${secret} />
        ${signature === "v1" && html`<${Verify} />`}
      </div>
      <footer class="dialog-foot">
        <button type="button" class=${onTest ? "" : "primary"} onClick=${closeDialog}>I've saved it</button>
        ${onTest && html`
          <button type="button" class="primary" onClick=${test}>I've saved it, send a test</button>
        `}
      </footer>
    <//>
  `, { stays: true });
}

function Verify() {
  return html`
    <details>
      <summary>Verify signatures in the receiver</summary>
      ${SNIPPETS.map(([language, code]) => html`<${Snippet} key=${language} language=${language} code=${code} />`)}
    </details>
  `;
}

function Snippet({ language, code }) {
  const text = useRef(null);
  return html`
    <div class="snippet">
      <h3>${language}</h3>
      <${CopyButton} value=${code} label="Copy the ${language} snippet" of=${text} />
      <pre class="body" tabindex="0" ref=${text}>${code}</pre>
    </div>
  `;
}
