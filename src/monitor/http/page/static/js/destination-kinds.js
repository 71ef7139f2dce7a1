/** Kinds of destinations of alerts, and the webhook that each becomes. */

export const DESTINATIONS = [
  {
    format: "slack",
    name: "Slack",
    placeholder: "https://hooks.slack.com/services/…",
    hint: "In Slack: Apps, Incoming Webhooks, Add to a channel.",
  },
  {
    format: "teams",
    name: "Microsoft Teams",
    placeholder: "https://….webhook.office.com/…",
    hint: "In Teams: a channel's Workflows, “Post to a channel when a webhook request is received”.",
  },
  {
    format: "discord",
    name: "Discord",
    placeholder: "https://discord.com/api/webhooks/…",
    hint: "In Discord: Channel settings, Integrations, Webhooks.",
  },
  {
    format: "standard",
    name: "JSON",
    placeholder: "https://example.com/alerts",
    hint: "The signed event, for a program of your own.",
  },
];

export const FORMAT_NAMES = Object.fromEntries(DESTINATIONS.map(({ format, name }) => [format, name]));

export const ALERT_CHOICES = [
  ["", "All alerts"],
  ["critical", "Critical only"],
  ["warning", "Warnings only"],
  ["info", "Info only"],
];

/** @returns {object} the webhook to create */
export function destinationSpec(format, form) {
  const severity = form.get("severity");
  return {
    name: form.get("name").trim(),
    url: form.get("url").trim(),
    event_types: ["monitor.alert.*"],
    body_format: format,
    labels: severity ? { severity } : {},
  };
}

/** @returns {string} which alerts reach a destination with *labels* */
export function alertsOf(labels) {
  const pairs = Object.entries(labels);
  return pairs.length ? `Only ${pairs.map(([name, value]) => `${name} ${value}`).join(", ")}` : "All alerts";
}
