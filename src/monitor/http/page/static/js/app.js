/** The frame around every view: navigation, the state of the connection, dialogs and toasts. */

import { board, startBoard, spoken, takeDashboard, takeFrame, waiting } from "./board.js";
import { Icon } from "./components/icons.js";
import { Empty } from "./components/states.js";
import { Toasts, toast } from "./components/toast.js";
import { Dialogs, closeDialog } from "./dialogs.js";
import { ago, duration } from "./format.js";
import { useNow } from "./hooks.js";
import { html, useEffect, useRef } from "./html.js";
import { useKeys } from "./keys.js";
import { link, startLive, stopLive } from "./live.js";
import { go, route } from "./router.js";
import { may, session, signOut } from "./session.js";
import { useStore } from "./store.js";
import { THEMES, chooseTheme, theme } from "./theme.js";
import { Activity } from "./views/activity.js";
import { Alerts } from "./views/alerts.js";
import { Event } from "./views/event.js";
import { Events } from "./views/events.js";
import { openHelp } from "./views/help.js";
import { Jobs } from "./views/jobs.js";
import { OtherSession } from "./views/other-session.js";
import { Overview } from "./views/overview.js";
import { SignIn } from "./views/sign-in.js";
import { NewSilence, Silences } from "./views/silences.js";
import { EditWebhook, NewWebhook } from "./views/webhook-form.js";
import { Webhook } from "./views/webhook.js";
import { Webhooks } from "./views/webhooks.js";

/** Name of a route → what shows it, and the least role that may use it. */
const VIEWS = {
  overview: [Overview, "viewer"],
  webhooks: [Webhooks, "viewer"],
  webhook: [Webhook, "viewer"],
  "webhook-new": [NewWebhook, "admin"],
  "webhook-edit": [EditWebhook, "admin"],
  alerts: [Alerts, "viewer"],
  alert: [Alerts, "viewer"],
  silences: [Silences, "operator"],
  "silence-new": [NewSilence, "operator"],
  events: [Events, "viewer"],
  event: [Event, "viewer"],
  activity: [Activity, "viewer"],
  jobs: [Jobs, "viewer"],
};
const TABS = [
  ["overview", "/", "Overview"],
  ["webhooks", "/webhooks", "Webhooks"],
  ["alerts", "/alerts", "Alerts"],
  ["events", "/events", "Events"],
  ["activity", "/activity", "Live"],
];
const TAB_OF = {
  "webhook-new": "webhooks",
  "webhook-edit": "webhooks",
  webhook: "webhooks",
  alert: "alerts",
  silences: "alerts",
  "silence-new": "alerts",
  event: "events",
  jobs: "overview",
};

export function App() {
  const { token } = useStore(session);
  return token ? html`
    <${Inside} key=${token} />
    <${Toasts} />
  ` : html`<${SignIn} />`;
}

function Inside() {
  useEffect(() => {
    startBoard((alert) =>
      toast(spoken(alert), {
        tone: alert.severity === "critical" ? "bad" : "warn",
        to: `/alerts/${alert.id}`,
        isUrgent: alert.severity === "critical",
      }),
    );
    startLive({ frame: takeFrame, dashboard: takeDashboard });
    return () => (stopLive(), closeDialog());
  }, []);
  useKeys({
    "?": openHelp,
    "/": () => go("/webhooks"),
    "g o": () => go("/"),
    "g w": () => go("/webhooks"),
    "g a": () => go("/alerts"),
    "g s": () => may("operator") && go("/silences"),
    "g e": () => go("/events"),
    "g l": () => go("/activity"),
    "g j": () => go("/jobs"),
  });
  return html`
    <a
      class="skip"
      href="#main"
      onClick=${(event) => (event.preventDefault(), document.querySelector("#main").focus())}
    >
      Skip to content
    </a>
    <div class="shell">
      <${Side} />
      <div class="page">
        <${Banner} />
        <${Main} />
      </div>
    </div>
    <${Dialogs} />
    <${OtherSession} />
  `;
}

function Main() {
  const at = useStore(route);
  const main = useRef(null);
  const first = useRef(true);
  const pending = useStore(board, (state) => waiting(state.overview));
  const [View, role] = VIEWS[at.name] ?? [Lost, "viewer"];
  const place = at.name === "alert" ? "alerts" : `${at.name} ${at.id}`;
  useEffect(() => {
    const isFirst = first.current;
    first.current = false;
    return isFirst ? undefined : arrive(main.current);
  }, [place]);
  useEffect(() => {
    const title = TABS.find(([name]) => name === (TAB_OF[at.name] ?? at.name))?.[2] ?? "Monitor";
    document.title = `${pending ? `(${pending}) ` : ""}${title} · Monitor`;
  }, [at.name, pending]);
  return html`
    <main id="main" ref=${main} tabindex="-1">
      ${may(role) ? html`<${View} key=${place} id=${at.id} />` : html`<${NotAllowed} role=${role} />`}
    </main>
  `;
}

/** Puts the focus where a person went: on the heading, as soon as there is one, unless they are elsewhere by then. */
function arrive(main) {
  scrollTo({ top: 0 });
  main.focus({ preventScroll: true });
  const take = () => {
    const heading = main.querySelector("h1");
    if (heading && document.activeElement === main) heading.focus({ preventScroll: true });
    if (heading) observer.disconnect();
  };
  const observer = new MutationObserver(take);
  observer.observe(main, { childList: true, subtree: true });
  take();
  return () => observer.disconnect();
}

function Lost() {
  return html`
    <h1 tabindex="-1">Page not found</h1>
    <${Empty} title="This view does not exist" icon="search">
      <a href="#/">Go to the overview</a>
    <//>
  `;
}

function NotAllowed({ role }) {
  return html`
    <h1 tabindex="-1">Access denied</h1>
    <${Empty} title="The role ${role} is required" icon="disabled">
      <a href="#/">Go to the overview</a>
    <//>
  `;
}

function Side() {
  const { name } = useStore(route);
  const { claims } = useStore(session);
  const { choice } = useStore(theme);
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
          ${TABS.map(([of, path, text]) => html`
            <li key=${of}>
              <a href=${`#${path}`} aria-current=${of === tab ? "page" : undefined}>
                <${Icon} name=${of} size=${17} />
                <span>${text}</span>
                ${of === "alerts" && alerts > 0 && html`
                  <b class="badge" aria-label="${alerts} waiting">${alerts}</b>
                `}
              </a>
            </li>
          `)}
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

/** Says when what is shown may be old, and how old. */
function Banner() {
  const { mode, isSilent, heardAt, pollError } = useStore(link);
  const staleAge = useStore(board, (state) => state.staleAge);
  const asOf = useStore(board, (state) => state.overview?.as_of);
  const now = useNow(1_000);
  let text = null;
  if (mode === "offline")
    text = `No connection: ${pollError} ${asOf ? `Data from ${ago(asOf, now)}.` : ""} Retrying.`;
  else if (staleAge !== null) text = `The database is unavailable. Data is ${duration(staleAge)} old.`;
  else if (isSilent && mode !== "live")
    text = `The last live message came ${ago(new Date(heardAt).toISOString(), now)}. ${mode === "polling" ? "Data is polled every 10 s." : "Reconnecting."}`;
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
