/** The list of webhooks as a file, with its filters and in its order. */

import { api } from "../api.js";
import { html } from "../html.js";
import { asked } from "../webhook-rows.js";
import { Export, members } from "./export.js";

const COLUMNS = [
  ...members("id", "name", "url", "status", "reason", "enabled", "paused_at", "labels", "waiting", "alerts", "anomalies"),
  ...["attempts", "success_ratio", "p95_ms"].map((name) => [`last_hour_${name}`, (row) => row.last_hour[name]]),
  ...members("last_attempt_at"),
];

/** @param {{query: Record<string, string>}} props `query` of the address */
export function WebhookExport({ query }) {
  return html`
    <${Export}
      name="webhooks"
      columns=${COLUMNS}
      isNewestFirst=${false}
      read=${(page, signal) => api.healthRows({ ...asked(query), ...page }, signal)}
    />
  `;
}
