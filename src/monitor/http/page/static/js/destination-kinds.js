/** Kinds of destinations of alerts, and the webhook that each becomes. */

import { conditions } from "./labels.js";

/**
 * `url` is what the URL most often is; `secret` is a header of the webhook, stored encrypted, whose value is asked for.
 *
 * @typedef {{label: string, header: string, prefix: string, hint: string, isOptional?: boolean}} Secret
 * @typedef {{format: string, name: string, placeholder: string, hint: string, url?: string, secret?: Secret}} Kind
 */

/** @type {Kind[]} */
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
    format: "googlechat",
    name: "Google Chat",
    placeholder: "https://chat.googleapis.com/v1/spaces/…/messages?key=…",
    hint: "In Google Chat: a space's Apps & integrations, Webhooks. Each alert is one thread.",
  },
  {
    format: "pagerduty",
    name: "PagerDuty",
    placeholder: "https://events.pagerduty.com/v2/enqueue",
    url: "https://events.pagerduty.com/v2/enqueue",
    hint: "In the EU: events.eu.pagerduty.com. Each alert is one incident.",
    secret: {
      label: "Integration key",
      header: "X-Routing-Key",
      prefix: "",
      hint: "In PagerDuty: a service's Integrations, Events API V2.",
    },
  },
  {
    format: "opsgenie",
    name: "Opsgenie",
    placeholder: "https://api.opsgenie.com/v2/alerts",
    url: "https://api.opsgenie.com/v2/alerts",
    hint: "In the EU: api.eu.opsgenie.com. Each alert is one alert there.",
    secret: {
      label: "API key",
      header: "Authorization",
      prefix: "GenieKey ",
      hint: "In Opsgenie: a team's Integrations, API.",
    },
  },
  {
    format: "ntfy",
    name: "ntfy",
    placeholder: "https://ntfy.sh/your-topic",
    hint: "The URL of the topic. Anyone who knows it can read it, unless it is protected.",
    secret: {
      label: "Access token",
      header: "Authorization",
      prefix: "Bearer ",
      hint: "Only if the topic is protected.",
      isOptional: true,
    },
  },
  {
    format: "alertmanager",
    name: "Alertmanager",
    placeholder: "http://alertmanager:9093/api/v2/alerts",
    hint: "Alerts are routed there by alertname and severity. A restart of Alertmanager forgets those that are open.",
  },
  {
    format: "email",
    name: "E-mail",
    placeholder: "mailto:ops@example.org",
    hint: "mailto: and addresses, separated by commas. Each alert is one thread. Needs MONITOR_SMTP settings.",
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

/**
 * @param {Kind} kind
 * @returns {object} the webhook to create
 */
export function destinationSpec({ format, secret }, form) {
  const severity = form.get("severity");
  const key = form.get("key")?.trim();
  return {
    name: form.get("name").trim(),
    url: form.get("url").trim(),
    event_types: ["monitor.alert.*"],
    body_format: format,
    labels: severity ? { severity } : {},
    headers: secret && key ? { [secret.header]: secret.prefix + key } : {},
  };
}

/** @returns {string} which alerts reach a destination with *labels* */
export function alertsOf(labels) {
  const pairs = conditions(labels);
  return pairs.length ? `Only ${pairs.map(([name, value]) => `${name} ${value}`).join(", ")}` : "All alerts";
}
