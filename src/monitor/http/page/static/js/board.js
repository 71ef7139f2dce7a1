/** What the live feed tells, folded into one picture: the board. Views read it, or listen to single frames. */

import { clock, plural } from "./format.js";
import { createStore } from "./store.js";

const KEPT_POINTS = 180;
const KEPT_CHANGES = 50;
const KEPT_HEARD = 1_000;

/**
 * `known` is false until the first picture came; `staleAge` (seconds) is set when the server answers from memory
 * because its database is away. `points` (newest last) cover what this page has seen;
 * `changes` are the alerts that changed lately, with when the server said so.
 */
/** @type {{[member: string]: any}} */
const EMPTY = {
  known: false,
  staleAge: null,
  asOf: null,
  overview: null,
  webhooks: [],
  performance: null,
  anomalies: [],
  alerts: [],
  points: [],
  changes: [],
};
export const board = createStore(EMPTY);

/** Words for screen readers and toasts: `announce` hears of every alert that was not there before. */
/** @type {(alert: object) => void} */
let announce = () => {};
const heard = new Set();
const listeners = new Set();

export function startBoard(onAlert) {
  board.set(EMPTY);
  heard.clear();
  announce = onAlert;
}

/** @param {(frame: {type: string, data: any}) => void} listener @returns {() => void} ends it */
export function onFrame(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Takes the whole picture, from a snapshot or a poll. */
export function takeDashboard(view) {
  const { known, asOf, changes } = board.get();
  // Two ways lead here; an answer that was overtaken says nothing new.
  if (known && view.as_of < asOf) {
    if (view.stale) board.set({ staleAge: view.age_s });
    return;
  }
  const later = changes.filter((change) => change.at > view.as_of);
  const alerts = later.reduce((all, { alert }) => withAlert(all, alert), view.alerts);
  board.set((state) => ({
    known: true,
    staleAge: view.stale ? view.age_s : null,
    asOf: view.as_of,
    webhooks: view.webhooks,
    performance: view.performance,
    anomalies: view.anomalies,
    alerts,
    ...figures(state, view.overview),
  }));
  alerts.forEach((alert) => hear(alert, known));
}

export function takeFrame(frame) {
  const handler = HANDLERS[frame.type];
  if (!handler) return;
  handler(frame.data, frame);
  for (const listener of [...listeners]) listener(frame);
}

/** What an action of this page brought, before the feed tells it. */
export function takeAlert(alert) {
  // The server's clock, as far as it was told: this one may be wrong.
  changeAlert(alert, board.get().overview?.as_of ?? alert.raised_at);
  for (const listener of [...listeners]) listener({ type: "alert_updated", data: alert });
}

const HANDLERS = {
  snapshot: (data) => takeDashboard(data),
  heartbeat: () => {},
  metrics_update: (data) => board.set((state) => ({ staleAge: null, ...figures(state, data) })),
  alert_new: (alert, frame) => {
    changeAlert(alert, frame.at);
    hear(alert, true);
  },
  alert_updated: (alert, frame) => changeAlert(alert, frame.at),
  webhook_status_changed: (data) =>
    board.set((state) => ({
      webhooks: state.webhooks.map((row) =>
        row.id === data.webhook_id ? withHealth(row, data) : row,
      ),
    })),
  anomaly_opened: (anomaly) =>
    board.set((state) => ({
      anomalies: [anomaly, ...state.anomalies.filter((other) => other.id !== anomaly.id)],
    })),
  anomaly_closed: (anomaly) =>
    board.set((state) => ({ anomalies: state.anomalies.filter((other) => other.id !== anomaly.id) })),
};

/** Alerts and what a user set say more than health; the next dashboard has them together. */
function withHealth(row, { status, reason, at }) {
  const isHealth = row.status === row.health.status && !row.alerts;
  const health = { ...row.health, status, reason, changed_at: at };
  return { ...row, ...(isHealth ? { status, reason } : {}), health };
}

/** @returns {object[]} the waiting alerts, newest first, once *alert* is as it is now */
function withAlert(alerts, alert) {
  const others = alerts.filter((other) => other.id !== alert.id);
  return alert.state === "pending" ? [alert, ...others].toSorted((a, b) => (a.id < b.id ? 1 : -1)) : others;
}

function changeAlert(alert, at) {
  board.set((state) => ({
    alerts: withAlert(state.alerts, alert),
    changes: [...state.changes, { at, alert }].slice(-KEPT_CHANGES),
  }));
}

/** Announces an alert once. */
function hear(alert, isNews) {
  if (isNews && !heard.has(alert.id)) announce(alert);
  heard.add(alert.id);
  if (heard.size > KEPT_HEARD) heard.delete(heard.values().next().value);
}

function figures(state, overview) {
  if (state.overview && overview.as_of <= state.overview.as_of) return {};
  const point = {
    at: Date.parse(overview.as_of) / 1_000,
    pending: overview.queue.pending,
    ...overview.traffic,
  };
  return { overview, points: [...state.points, point].slice(-KEPT_POINTS) };
}

/** Says in one sentence what a screen reader should hear of *alert*. */
export function spoken(alert) {
  return `New ${alert.severity} alert at ${clock(alert.raised_at)}: ${alert.title}`;
}

/** @returns {string} how many alerts wait, for the title of the document */
export function waiting(overview) {
  const n = overview ? Object.values(overview.alerts).reduce((sum, each) => sum + each, 0) : 0;
  return n ? plural(n, "alert") : "";
}
