/** Was it our signature or their secret? Answered by the server, and for a secret that somebody pastes. */

import { html, useState } from "../html.js";
import { verified } from "../signature.js";
import { TextField } from "./fields.js";
import { Status } from "./status.js";

const SIGNED = {
  current: ["ok", "Signed with the current secret. A receiver that refuses it has another secret, or changed the body."],
  previous: ["info", "Signed with the previous secret, which still signs. The receiver needs this or the current one."],
  none: ["warn", "Signed with a secret that was replaced since."],
};

const SAYS = {
  valid: "This secret made the signature.",
  invalid: "This secret did not make the signature.",
  malformed: "This is no secret: paste all of it, from whsec_ or whpk_ on.",
  unavailable:
    "This browser cannot check it here: it has no cryptography for this signature, or none over plain HTTP." +
    " Open the page over HTTPS or on localhost.",
};

export function SignedWith({ attempt }) {
  const said = SIGNED[attempt.signature_valid_with];
  if (!said) return null;
  const [tone, text] = said;
  return html`<p class="small signed ${tone}">${text}</p>`;
}

/** @param {{fields: {name: string, value: string}[], body: Uint8Array}} props the request as sent */
export function VerifySignature({ fields, body }) {
  const [result, setResult] = useState(null);
  const check = async (event) => {
    event.preventDefault();
    const secret = String(new FormData(event.target).get("secret") ?? "").trim();
    setResult(await verified(secret, fields, body));
  };
  return html`
    <details class="verify">
      <summary class="small">Verify signature</summary>
      <form onSubmit=${check}>
        <${TextField}
          label="Secret of the receiver"
          name="secret"
          type="password"
          autocomplete="off"
          required
          hint="It is checked in this browser and sent nowhere."
          onInput=${() => setResult(null)}
        />
        <button class="small">Verify</button>
        <p role="status" class="small">
          ${result && html`
            <${Status} of=${result === "valid" ? "delivered" : "failed"} text=${result === "valid" ? "Valid" : "Not valid"} />
            ${" "}${SAYS[result]}
          `}
        </p>
      </form>
    </details>
  `;
}
