/** Asks before a link with a token replaces the session of this tab. */

import { html } from "../html.js";
import { keepSession, session, signIn } from "../session.js";
import { useStore } from "../store.js";
import { ActionDialog } from "./dialog.js";

export function OtherSession() {
  const { claims, offer } = useStore(session);
  if (!offer) return null;
  return html`
    <${ActionDialog}
      title="Replace the session?"
      verb="Sign in as ${offer.claims.sub}"
      onClose=${keepSession}
      action=${async () => offer.token}
      onDone=${signIn}
    >
      <p>
        A link would sign you in as <b class="break">${offer.claims.sub}</b> (${offer.claims.role}). This tab is
        signed in as <b class="break">${claims.sub}</b> (${claims.role}).
      </p>
      <p>Cancel if the link is not your own.</p>
    <//>
  `;
}
