/** Asks before a link with a token replaces the session of this browser. */

import { Problem } from "../api.js";
import { html } from "../html.js";
import { keepSession, session, signIn } from "../session.js";
import { useStore } from "../store.js";
import { ActionDialog } from "./dialog.js";

export function OtherSession() {
  const { claims, offer } = useStore(session);
  if (!offer) return null;
  const replace = async () => {
    const problem = await signIn(offer.token);
    if (problem) throw new Problem(401, { title: "The token of the link was not used", detail: problem });
    return true;
  };
  return html`
    <${ActionDialog}
      title="Replace the session?"
      verb="Sign in as ${offer.claims.sub}"
      onClose=${keepSession}
      action=${replace}
      onDone=${keepSession}
    >
      <p>
        A link would sign you in as <b class="break">${offer.claims.sub}</b> (${offer.claims.role}). This browser is
        signed in as <b class="break">${claims.sub}</b> (${claims.role}).
      </p>
      <p>All its tabs change with it. Cancel if the link is not your own.</p>
    <//>
  `;
}
