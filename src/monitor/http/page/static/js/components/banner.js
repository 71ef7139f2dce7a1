/** Says when what is shown may be old, and how old. */

import { board } from "../board.js";
import { ago, duration } from "../format.js";
import { useNow } from "../hooks.js";
import { html } from "../html.js";
import { link } from "../live.js";
import { useStore } from "../store.js";
import { Icon } from "./icons.js";

export function Banner() {
  const { mode, isSilent, heardAt, pollError } = useStore(link);
  const staleAge = useStore(board, (state) => state.staleAge);
  const asOf = useStore(board, (state) => state.overview?.as_of);
  const now = useNow(1_000);
  let text = null;
  if (mode === "offline")
    text = `No connection: ${pollError} ${asOf ? `Data from ${ago(asOf, now)}.` : ""} Retrying.`;
  else if (staleAge !== null) text = `The database is unavailable. Data is ${duration(staleAge)} old.`;
  else if (isSilent && mode !== "live")
    text = `The last live message came ${ago(new Date(heardAt).toISOString(), now)}. ${
      mode === "polling" ? "Data is polled every 10 s." : "Reconnecting."
    }`;
  return html`
    <div class="banner-place" role="status">
      ${text && html`
        <p class="banner" id="stale">
          <${Icon} name="warning" /> ${text}
        </p>
      `}
    </div>
  `;
}
