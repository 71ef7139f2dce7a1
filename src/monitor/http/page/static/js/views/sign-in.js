/** The door: a token, or how to get one. */

import { TextField } from "../components/fields.js";
import { html, useState } from "../html.js";
import { session, signIn } from "../session.js";
import { useStore } from "../store.js";

export function SignIn() {
  const { notice } = useStore(session);
  const [token, setToken] = useState("");
  const [isShown, setShown] = useState(false);
  const submit = (event) => {
    event.preventDefault();
    signIn(token);
  };
  return html`
    <main class="door">
      <form class="card" onSubmit=${submit}>
        <h1>
          <span class="mark" aria-hidden="true"></span>Monitor
        </h1>
        <p class="muted">Sign in with a token. It is kept in this tab and removed when the tab is closed.</p>
        <${TextField}
          label="Token"
          type=${isShown ? "text" : "password"}
          class="mono"
          value=${token}
          required
          error=${notice}
          onInput=${(event) => setToken(event.target.value)}
          autofocus
        />
        <label class="check">
          <input type="checkbox" checked=${isShown} onChange=${() => setShown(!isShown)} /> Show
        </label>
        <button class="primary block">Sign in</button>
        <p class="hint">
          <code>monitor up</code> prints a link that signs in. Elsewhere:${" "}
          <code>monitor token --role operator --subject you --ttl 8h</code>
        </p>
      </form>
    </main>
  `;
}
