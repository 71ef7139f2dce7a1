/** The navigation, the state of the connection, and who is signed in. */

import { board } from "../board.js";
import { html } from "../html.js";
import { link } from "../live.js";
import { AT_THE_FOOT, TABS, TAB_OF } from "../places.js";
import { route } from "../router.js";
import { may, session, signOut } from "../session.js";
import { useStore } from "../store.js";
import { THEMES, chooseTheme, theme } from "../theme.js";
import { ZONES, chooseZone, zone, zoneName } from "../zone.js";
import { openHelp } from "./help.js";
import { Icon } from "./icons.js";

export function Side() {
  const { name } = useStore(route);
  const { claims } = useStore(session);
  const { choice } = useStore(theme);
  const times = useStore(zone).choice;
  const alerts = useStore(
    board,
    (state) =>
      state.overview &&
      state.overview.alerts.critical + state.overview.alerts.warning + state.overview.alerts.info,
  );
  const tab = TAB_OF[name] ?? name;
  return html`
    <header class="side">
      <a class="brand" href="#/">
        <span class="mark" aria-hidden="true"></span>Monitor
      </a>
      <nav aria-label="Views">
        <ul>
          ${TABS.filter(([, , , role]) => may(role ?? "viewer")).map(([of, path, text]) => html`
            <li key=${of} class=${AT_THE_FOOT.includes(of) ? "" : "not-at-the-foot"}>
              <a href=${`#${path}`} aria-current=${of === tab ? "page" : undefined}>
                <${Icon} name=${of} size=${17} />
                <span>${text}</span>
                ${of === "alerts" && alerts > 0 && html`
                  <b class="badge" aria-label="${alerts} open">${alerts}</b>
                `}
              </a>
            </li>
          `)}
          <li class="at-the-foot">
            <a href="#/more" aria-current=${tab === "more" || !AT_THE_FOOT.includes(tab) ? "page" : undefined}>
              <${Icon} name="more" size=${17} />
              <span>More</span>
            </a>
          </li>
        </ul>
      </nav>
      <div class="side-foot">
        <${LinkState} />
        <div class="row">
          <button
            type="button"
            class="bare"
            title="Theme: ${choice}"
            aria-label="Theme: ${choice}. Change"
            onClick=${() => chooseTheme(THEMES[(THEMES.indexOf(choice) + 1) % THEMES.length])}
          >
            <${Icon} name="theme" /> <span>${choice}</span>
          </button>
          <button type="button" class="bare" aria-label="Keyboard help" onClick=${openHelp}>
            <${Icon} name="help" />
          </button>
          <button
            type="button"
            class="bare"
            aria-label="Sign out ${claims.sub}"
            title="${claims.sub}, ${claims.role}"
            onClick=${() => signOut()}
          >
            <${Icon} name="logout" />
          </button>
        </div>
        <button
          type="button"
          class="bare zone"
          title="Times: ${zoneName()}"
          aria-label="Times: ${times === "utc" ? "UTC" : "local time"}. Change"
          onClick=${() => chooseZone(ZONES[(ZONES.indexOf(times) + 1) % ZONES.length])}
        >
          <${Icon} name="clock" /> <span>${times === "utc" ? "UTC" : "local time"}</span>
        </button>
        <p class="who small muted clip" title=${claims.sub}>${claims.sub} · ${claims.role}</p>
      </div>
    </header>
  `;
}

const MODES = {
  live: ["healthy", "ok", "Live"],
  connecting: ["pending", "none", "Connecting"],
  polling: ["degraded", "warn", "Every 10 s"],
  offline: ["unavailable", "bad", "Offline"],
};

function LinkState() {
  const { mode } = useStore(link);
  const [icon, tone, text] = MODES[mode];
  return html`
    <p class="status ${tone} link-state" data-mode=${mode}>
      <${Icon} name=${icon} size=${12} />
      ${text}
    </p>
  `;
}
