/** Warns before the session ends, and takes a new token above whatever is open: nothing typed is lost. */

import { html, useEffect, useRef, useState } from "../html.js";
import { useNow } from "../hooks.js";
import { endSession, session, signIn, signOut } from "../session.js";
import { useStore } from "../store.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { TokenField } from "./token-field.js";

const WARN_MS = 5 * 60_000;
const URGENT_MS = 60_000;

export function SessionEnd() {
  const { claims, endsAt, ended } = useStore(session);
  const now = useNow(1_000);
  const [isAsking, setAsking] = useState(false);
  const leftMs = endsAt - now;
  useEffect(() => {
    if (leftMs <= 0) endSession("Your token has expired.");
  }, [leftMs <= 0]);
  useEffect(() => setAsking(false), [endsAt]);
  if (!claims) return null;
  const isUrgent = leftMs <= URGENT_MS;
  const minutes = isUrgent ? "1 minute" : "5 minutes";
  // The words change twice; the seconds are for the eye alone.
  return html`
    <div class="banner-place" role=${isUrgent ? "alert" : "status"}>
      ${leftMs <= WARN_MS && !ended && html`
        <p class="banner session-end">
          <${Icon} name="warning" />
          <span>Your session ends in less than ${minutes}.</span>
          <span class="mono" aria-hidden="true">${clock(leftMs)}</span>
          <button type="button" class="small" onClick=${() => setAsking(true)}>Enter a new token</button>
        </p>
      `}
    </div>
    ${ended && html`<${TokenDialog} key="ended" reason=${ended} claims=${claims} />`}
    ${!ended && isAsking && html`<${TokenDialog} key="early" claims=${claims} onClose=${() => setAsking(false)} />`}
  `;
}

function TokenDialog({ reason, claims, onClose }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const form = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    const said = await signIn(token);
    setBusy(false);
    setProblem(said);
    if (said) form.current?.elements.token.focus();
  };
  return html`
    <${Dialog} title=${reason ? "Your session has ended" : "Stay signed in"} onClose=${onClose} isSealed=${Boolean(reason)}>
      <form ref=${form} onSubmit=${submit} novalidate>
        <div class="dialog-body">
          ${reason && html`<p>${reason}</p>`}
          <p>
            Paste a new token of <b class="break">${claims.sub}</b> (${claims.role}) to continue here.
            ${" "}With a token of somebody else the view starts anew.
          </p>
          <${TokenField} value=${token} error=${problem} onInput=${(text) => (setToken(text), setProblem(null))} />
          <p class="hint">
            <code>monitor token --role ${claims.role} --subject ${claims.sub}</code>
          </p>
        </div>
        <footer class="dialog-foot">
          ${onClose
            ? html`<button type="button" onClick=${onClose}>Later</button>`
            : html`<button type="button" onClick=${signOut}>Sign out</button>`}
          <button class="primary" aria-disabled=${isBusy ? "true" : undefined}>
            ${isBusy ? "Signing in…" : "Sign in"}
          </button>
        </footer>
      </form>
    <//>
  `;
}

function clock(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
