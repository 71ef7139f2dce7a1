/** The tabs of the navigation with the least role that sees them, and the tab that each view belongs to. */

export const TABS = [
  ["overview", "/", "Overview"],
  ["webhooks", "/webhooks", "Webhooks"],
  ["alerts", "/alerts", "Alerts"],
  ["notifications", "/notifications", "Notifications"],
  ["events", "/events", "Events"],
  ["deliveries", "/deliveries", "Deliveries"],
  ["activity", "/activity", "Live"],
  ["system", "/system", "System", "operator"],
  ["audit", "/audit", "Audit log", "admin"],
];

/** The tabs that phones show at their foot; the others are behind "More". */
export const AT_THE_FOOT = ["overview", "webhooks", "alerts", "deliveries"];

export const TAB_OF = {
  "webhook-new": "webhooks",
  "webhook-edit": "webhooks",
  webhook: "webhooks",
  alert: "alerts",
  silences: "alerts",
  "silence-new": "alerts",
  event: "events",
  jobs: "overview",
};

/** What the title of the document says in views that are no tab of their own. */
const TITLES = {
  "webhook-new": "New webhook",
  "webhook-edit": "Edit webhook",
  silences: "Silences",
  "silence-new": "New silence",
  notifications: "Notifications",
  jobs: "Jobs",
  more: "More",
  lost: "Page not found",
};

/** @param {string} name of a route */
export const titleOf = (name) => TITLES[name] ?? TABS.find(([tab]) => tab === (TAB_OF[name] ?? name))?.[2] ?? "Monitor";
