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
/** States of a delivery. */
export const DELIVERY_STATES = ["pending", "delivered", "failed", "cancelled", "quarantined"];
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
  pending: { icon: "alerts", tone: "bad", text: "Open" },
  acknowledged: { icon: "check", tone: "info", text: "Acknowledged" },
  resolved: { icon: "healthy", tone: "ok", text: "Resolved" },
};

/** Of an alert for which the one about all webhooks stands; its details and history say so. */
export const REPLACED = { icon: "info", tone: "none", text: "Replaced" };

/** What happens to an alert: its icon, and what is said of it. */
export const ALERT_ACTIONS = {
  raised: { icon: "alerts", text: "raised" },
  repeated: { icon: "alerts", text: "raised again" },
  cause_cleared: { icon: "info", text: "a cause is no longer true" },
  escalated: { icon: "critical", text: "escalated" },
  eased: { icon: "info", text: "less severe" },
  widened: { icon: "alerts", text: "concerns more webhooks" },
  acknowledged: { icon: "check", text: "acknowledged" },
  ack_expired: { icon: "alerts", text: "acknowledgement expired" },
  unacknowledged: { icon: "alerts", text: "acknowledgement taken back" },
  commented: { icon: "info", text: "comment" },
  resolved: { icon: "healthy", text: "resolved" },
  superseded: { icon: "info", text: "replaced by the alert about all webhooks" },
  recovered: { icon: "healthy", text: "back to normal" },
  reopened: { icon: "alerts", text: "reopened" },
  notified: { icon: "notifications", text: "notification sent" },
  reminded: { icon: "notifications", text: "reminder sent" },
  flapping: { icon: "activity", text: "flapping: notifications pause" },
  flapping_ended: { icon: "healthy", text: "flapping ended" },
};

const HALF_HOUR = ["1800", "for 30 minutes"];
const TWO_HOURS = ["7200", "for 2 hours"];
const EIGHT_HOURS = ["28800", "for 8 hours"];
const DAY = ["86400", "for a day"];

/** Lengths of time to choose from: seconds, and how they read after a verb. */
export const SHORT_LENGTHS = [HALF_HOUR, TWO_HOURS, EIGHT_HOURS, DAY];
export const LENGTHS = [...SHORT_LENGTHS, ["604800", "for a week"], ["2592000", "for 30 days"]];
