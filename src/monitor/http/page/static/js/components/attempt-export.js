/** The attempts of a webhook as a file, with the filters of their list. */

import { api } from "../api.js";
import { html } from "../html.js";
import { Export, members } from "./export.js";

const COLUMNS = members(
  "id",
  "at",
  "kind",
  "ok",
  "status_code",
  "error",
  "error_detail",
  "latency_ms",
  "number",
  "delivery_id",
  "event_id",
  "event_type",
  "response_body",
);

export function AttemptExport({ webhook, filter }) {
  return html`
    <${Export}
      name="attempts"
      columns=${COLUMNS}
      read=${(page, signal) => api.attempts(webhook.id, { ...filter, ...page }, signal)}
    />
  `;
}
