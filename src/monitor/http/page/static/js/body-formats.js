/** What a webhook may send in place of the payload as posted. */

/** @type {[string, string][]} */
export const BODY_FORMATS = [
  ["standard", "Payload as posted"],
  ["slack", "Slack message"],
  ["discord", "Discord message"],
  ["teams", "Teams message"],
  ["googlechat", "Google Chat message"],
  ["ntfy", "ntfy message"],
  ["pagerduty", "PagerDuty incident"],
  ["opsgenie", "Opsgenie alert"],
  ["alertmanager", "Alertmanager alert"],
  ["email", "E-mail"],
];
