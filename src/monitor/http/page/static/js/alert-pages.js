/** The list of alerts as the server has it, kept up to date by the feed. */

import { api } from "./api.js";
import { onFrame } from "./board.js";
import { useFrames, usePages } from "./hooks.js";

/** The list as the server has it, kept up to date by the feed. */
export function useAlerts(filter) {
  const pages = usePages(
    (cursor, signal) => api.alerts({ ...filter, limit: 50, cursor }, signal),
    Object.values(filter),
  );
  const { load } = pages;
  const fits = (alert) =>
    (filter.state === "all" ||
      alert.state === filter.state ||
      (filter.state === "open" && alert.state !== "resolved")) &&
    (!filter.severity || alert.severity === filter.severity) &&
    (!filter.kind || alert.kind === filter.kind) &&
    (!filter.webhook_id || alert.webhook_id === filter.webhook_id);
  const merge = (alert) => load.setData((page) => page && { ...page, items: merged(page.items, alert) });
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

function merged(items, alert) {
  return [...items.filter((one) => one.id !== alert.id), alert].toSorted((a, b) => (a.id < b.id ? 1 : -1));
}
