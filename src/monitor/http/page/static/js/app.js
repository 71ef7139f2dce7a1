/** The frame around every view: navigation, the state of the connection, dialogs and toasts. */

import { board, spoken, startBoard, takeDashboard, takeFrame, waiting } from "./board.js";
import { Banner } from "./components/banner.js";
import { Boundary } from "./components/boundary.js";
import { openHelp } from "./components/help.js";
import { OtherSession } from "./components/other-session.js";
import { SessionEnd } from "./components/session-end.js";
import { Side } from "./components/side.js";
import { Empty } from "./components/states.js";
import { Toasts, toast } from "./components/toast.js";
import { Dialogs, closeDialog, leaveDialog } from "./dialogs.js";
import { html, useEffect, useRef } from "./html.js";
import { useKeys } from "./keys.js";
import { startLive, stopLive } from "./live.js";
import { takeScroll } from "./left.js";
import { titleOf } from "./places.js";
import { go, route } from "./router.js";
import { caller, may, session } from "./session.js";
import { useStore } from "./store.js";
import { zone } from "./zone.js";
import { named } from "./title.js";
import { Activity } from "./views/activity.js";
import { Alerts } from "./views/alerts.js";
import { Audit } from "./views/audit.js";
import { Deliveries } from "./views/deliveries.js";
import { Event } from "./views/event.js";
import { Events } from "./views/events.js";
import { Jobs } from "./views/jobs.js";
import { More } from "./views/more.js";
import { Notifications } from "./views/notifications.js";
import { Overview } from "./views/overview.js";
import { SignIn } from "./views/sign-in.js";
import { NewSilence } from "./views/silence-new.js";
import { Silences } from "./views/silences.js";
import { System } from "./views/system.js";
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
  notifications: [Notifications, "viewer"],
  events: [Events, "viewer"],
  event: [Event, "viewer"],
  deliveries: [Deliveries, "viewer"],
  activity: [Activity, "viewer"],
  jobs: [Jobs, "viewer"],
  system: [System, "operator"],
  audit: [Audit, "admin"],
  more: [More, "viewer"],
};

export function App() {
  const who = useStore(session, caller);
  return who ? html`
    <${Inside} key=${who} />
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
    return closeDialog;
  }, []);
  const { serial, ended } = useStore(session);
  useEffect(() => {
    if (ended) return undefined;
    // Again for each token: a socket ends with the one that it was opened by.
    startLive({ frame: takeFrame, dashboard: takeDashboard });
    return stopLive;
  }, [serial, Boolean(ended)]);
  useKeys({
    "?": openHelp,
    "/": () => go("/webhooks"),
    "g o": () => go("/"),
    "g w": () => go("/webhooks"),
    "g a": () => go("/alerts"),
    "g s": () => may("operator") && go("/silences"),
    "g n": () => go("/notifications"),
    "g e": () => go("/events"),
    "g d": () => go("/deliveries"),
    "g l": () => go("/activity"),
    "g j": () => go("/jobs"),
    "g y": () => may("operator") && go("/system"),
    "g u": () => may("admin") && go("/audit"),
  });
  return html`
    <a
      class="skip"
      href="#main"
      onClick=${(event) => (event.preventDefault(), document.getElementById("main")?.focus())}
    >
      Skip to content
    </a>
    <div class="shell">
      <${Side} />
      <div class="page">
        <div class="banners">
          <${Banner} />
          <${SessionEnd} />
        </div>
        <${Main} />
      </div>
    </div>
    <${Dialogs} />
    <${OtherSession} />
  `;
}

function Main() {
  const at = useStore(route);
  // Times are written anew in the zone that is chosen.
  useStore(zone);
  const main = useRef(null);
  const first = useRef(true);
  const { name } = useStore(named);
  const pending = useStore(board, (state) => waiting(state.overview));
  const [View, role] = VIEWS[at.name] ?? [Lost, "viewer"];
  const place = at.name === "alert" ? "alerts" : `${at.name} ${at.id}`;
  useEffect(() => {
    const isFirst = first.current;
    first.current = false;
    if (isFirst) return undefined;
    leaveDialog();
    return arrive(main.current, takeScroll(at.name));
  }, [place]);
  useEffect(() => {
    document.title = `${pending ? `(${pending}) ` : ""}${name || titleOf(at.name)} · Monitor`;
  }, [at.name, name, pending]);
  return html`
    <main id="main" ref=${main} tabindex="-1">
      <${Boundary} key=${place}>
        ${may(role) ? html`<${View} id=${at.id} />` : html`<${NotAllowed} role=${role} />`}
      <//>
    </main>
  `;
}

/**
 * Puts the focus where a person went: on the heading, as soon as there is one, unless they are elsewhere by then. Scrolls
 * to *y* once so much is there, unless they scroll before.
 */
function arrive(main, y) {
  let isPlaced = !y;
  scrollTo({ top: 0 });
  main.focus({ preventScroll: true });
  const take = () => {
    const heading = main.querySelector("h1");
    if (heading && document.activeElement === main) heading.focus({ preventScroll: true });
    if (!isPlaced && document.documentElement.scrollHeight >= y + innerHeight) {
      scrollTo({ top: y });
      isPlaced = true;
    }
    if (heading && isPlaced) observer.disconnect();
  };
  const observer = new MutationObserver(take);
  observer.observe(main, { childList: true, subtree: true });
  main.addEventListener("wheel", () => (isPlaced = true), { once: true, passive: true });
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
