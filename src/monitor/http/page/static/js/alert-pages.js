/** The list of alerts as the server has it, kept up to date by the feed. */

import { api } from "./api.js";
import { onFrame } from "./board.js";
import { useFrames, usePages } from "./hooks.js";
import { SEVERITIES } from "./words.js";

/** States that are a queue to work through: worst first. The others are read back, newest first. */
const QUEUES = new Set(["pending", "acknowledged"]);

/** The order of the list of alerts in *state*. */
export const sortOf = (state) => (QUEUES.has(state) ? "worst" : "newest");

/** The list as the server has it, kept up to date by the feed. */
export function useAlerts(filter) {
  const sort = sortOf(filter.state);
  const order = sort === "worst" ? worstFirst : newestFirst;
  const pages = usePages(
    (cursor, signal) => api.alerts({ ...filter, sort, limit: 50, cursor }, signal),
    Object.values(filter),
  );
  const { load } = pages;
  const fits = (alert) =>
    (filter.state === "all" || alert.state === filter.state) &&
    (!filter.severity || alert.severity === filter.severity) &&
    (!filter.kind || alert.kind === filter.kind) &&
    (!filter.webhook_id || alert.webhook_id === filter.webhook_id);
  const merge = (alert) => load.setData((page) => page && { ...page, items: merged(page.items, alert, order) });
  useFrames(onFrame, ({ type, data }) => {
    if (type === "alert_new" || type === "alert_updated") merge(data);
    if (type === "snapshot") load.reload();
  });
  return { ...pages, items: unique(pages.items).filter(fits), isKnown: load.data !== null };
}

/** The feed puts what changed on the first page, also what stands on an older one. */
function unique(items) {
  const seen = new Set();
  return items.filter((alert) => !seen.has(alert.id) && seen.add(alert.id));
}

function merged(items, alert, order) {
  return [...items.filter((one) => one.id !== alert.id), alert].toSorted(order);
}

function newestFirst(a, b) {
  return a.id < b.id ? 1 : -1;
}

function worstFirst(a, b) {
  return SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || newestFirst(a, b);
}
