/** Words of the API, as lists to choose from and as people read them. */

export const ALERT_KINDS = [
  "failing",
  "latency",
  "volume",
  "disabling",
  "disabled",
  "quarantined",
  "expired",
  "mass_failure",
];
export const SEVERITIES = ["critical", "warning", "info"];
export const STANDINGS = ["unavailable", "degraded", "throttled", "unknown", "healthy", "paused", "disabled"];
export const ATTEMPT_ERRORS = [
  "timeout",
  "connect",
  "dns",
  "tls",
  "reset",
  "protocol",
  "blocked",
  "status",
  "other",
];

/** The state of an alert: its icon and tone, and its word at the begin of a sentence. */
export const ALERT_STATES = {
  pending: { icon: "alerts", tone: "bad", text: "Pending" },
  acknowledged: { icon: "check", tone: "info", text: "Acknowledged" },
  resolved: { icon: "healthy", tone: "ok", text: "Resolved" },
};

const HALF_HOUR = ["1800", "for 30 minutes"];
const TWO_HOURS = ["7200", "for 2 hours"];
const EIGHT_HOURS = ["28800", "for 8 hours"];
const DAY = ["86400", "for a day"];

/** Lengths of time to choose from: seconds, and how they read after a verb. */
export const SHORT_LENGTHS = [HALF_HOUR, TWO_HOURS, EIGHT_HOURS, DAY];
export const LENGTHS = [...SHORT_LENGTHS, ["604800", "for a week"], ["2592000", "for 30 days"]];
