/** What the server tells of: pictures of everything, and frames. */

import { takeFrame } from "../../../src/monitor/http/page/static/js/board.js";

export const time = (seconds) => new Date(Date.UTC(2026, 2, 1, 12, 0, seconds)).toISOString();

export function overview(seconds, pending = 0) {
  const alerts = { critical: 0, warning: 0, info: 0 };
  return { as_of: time(seconds), alerts, queue: { pending }, traffic: { p95_ms: 80 } };
}

export function dashboard(seconds, members = {}) {
  const figures = overview(seconds);
  return { as_of: time(seconds), overview: figures, webhooks: [], performance: null, anomalies: [], alerts: [], ...members };
}

export function alert(id, state = "pending", members = {}) {
  return { id, state, severity: "critical", title: `Alert ${id}`, raised_at: time(0), ...members };
}

let seq = 0;

export function frame(type, data, seconds) {
  seq += 1;
  takeFrame({ type, data, at: time(seconds), epoch: "e", seq });
}
