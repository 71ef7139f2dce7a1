/** The door: a token, or how to get one. */

import { TokenField } from "../components/token-field.js";
import { Loading } from "../components/states.js";
import { html, useRef, useState } from "../html.js";
import { session, signIn } from "../session.js";
import { useStore } from "../store.js";

export function SignIn() {
  const { notice, state } = useStore(session);
  const [token, setToken] = useState("");
  const [isBusy, setBusy] = useState(false);
  // A notice is about the token before: it goes when another is typed.
  const [seen, setSeen] = useState(null);
  const form = useRef(null);
  if (state === "asking") return html`<main class="door"><div class="card"><${Loading} what="Signing in" /></div></main>`;
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setSeen(null);
    const problem = await signIn(token);
    setBusy(false);
    if (problem) form.current?.elements.token.focus();
  };
  return html`
    <main class="door">
      <form class="card" ref=${form} onSubmit=${submit} novalidate>
        <h1>
          <span class="mark" aria-hidden="true"></span>Monitor
        </h1>
        <p class="muted">Sign in with a token. All tabs of this browser share the session; it ends with the token.</p>
        <${TokenField}
          value=${token}
          error=${notice === seen ? null : notice}
          onInput=${(text) => (setToken(text), setSeen(notice))}
        />
        <button class="primary block" aria-disabled=${isBusy ? "true" : undefined}>
          ${isBusy ? "Signing in…" : "Sign in"}
        </button>
        <p class="hint">
          <code>monitor up</code> prints a link that signs in. Elsewhere:${" "}
          <code>monitor token --role operator --subject you --ttl 8h</code>
        </p>
      </form>
    </main>
  `;
}
