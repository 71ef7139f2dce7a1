/** The tabs of the navigation, and the tab that each view belongs to. */

export const TABS = [
  ["overview", "/", "Overview"],
  ["webhooks", "/webhooks", "Webhooks"],
  ["alerts", "/alerts", "Alerts"],
  ["events", "/events", "Events"],
  ["activity", "/activity", "Live"],
];

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
