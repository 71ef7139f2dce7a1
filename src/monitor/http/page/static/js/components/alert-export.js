/** The list of alerts as a file, with its filters and in its order. */

import { sortOf } from "../alert-pages.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { Export, members } from "./export.js";

const COLUMNS = members(
  "id",
  "severity",
  "kind",
  "state",
  "webhook_id",
  "webhook_name",
  "title",
  "count",
  "causes",
  "raised_at",
  "acknowledged_at",
  "acknowledged_by",
  "ack_expires_at",
  "note",
  "resolved_at",
  "resolved_by",
  "silenced",
  "flapping",
);

export function AlertExport({ filter }) {
  const sort = sortOf(filter.state);
  return html`
    <${Export}
      name="alerts"
      size=""
      columns=${COLUMNS}
      isNewestFirst=${sort === "newest"}
      read=${(page, signal) => api.alerts({ ...filter, sort, ...page }, signal)}
    />
  `;
}
