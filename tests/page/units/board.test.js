import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";
import { alert, dashboard, frame, overview, time } from "./feed.js";
import {
  board,
  onFrame,
  spoken,
  startBoard,
  takeAlert,
  takeDashboard,
  waiting,
} from "../../../src/monitor/http/page/static/js/board.js";

const ids = (rows) => rows.map((row) => row.id);
let announced = [];

beforeEach(() => {
  announced = [];
  startBoard((news) => announced.push(news.id));
});

test("nothing is known before the first picture", () => {
  assert.equal(board.get().known, false);
  takeDashboard(dashboard(0));
  assert.equal(board.get().known, true);
});

test("of two pictures the older says nothing, whichever comes last", () => {
  takeDashboard(dashboard(10, { alerts: [alert("b")] }));
  takeDashboard(dashboard(5, { alerts: [alert("a")] }));
  assert.deepEqual(ids(board.get().alerts), ["b"]);
});

test("an answer from memory says how old it is, and a fresh one takes that back", () => {
  takeDashboard(dashboard(10));
  takeDashboard(dashboard(5, { stale: true, age_s: 5 }));
  assert.equal(board.get().staleAge, 5);
  takeDashboard(dashboard(20));
  assert.equal(board.get().staleAge, null);
  takeDashboard(dashboard(30, { stale: true, age_s: 9 }));
  frame("metrics_update", overview(40), 40);
  assert.equal(board.get().staleAge, null);
});

test("waiting alerts stand newest first, and leave when they are taken care of", () => {
  takeDashboard(dashboard(0, { alerts: [alert("b")] }));
  frame("alert_new", alert("c"), 1);
  frame("alert_new", alert("a"), 2);
  assert.deepEqual(ids(board.get().alerts), ["c", "b", "a"]);
  frame("alert_updated", alert("b", "acknowledged"), 3);
  frame("alert_updated", alert("a", "resolved"), 4);
  assert.deepEqual(ids(board.get().alerts), ["c"]);
  frame("alert_updated", alert("b"), 5);
  assert.deepEqual(ids(board.get().alerts), ["c", "b"]);
});

test("an alert that is told twice is there once, as it was told last", () => {
  takeDashboard(dashboard(0));
  frame("alert_new", alert("a", "pending", { count: 1 }), 1);
  frame("alert_updated", alert("a", "pending", { count: 2 }), 2);
  assert.deepEqual(
    board.get().alerts.map((one) => one.count),
    [2],
  );
});

test("a change that is newer than a picture outlives it", () => {
  takeDashboard(dashboard(0, { alerts: [alert("a")] }));
  frame("alert_updated", alert("a", "acknowledged"), 20);
  takeDashboard(dashboard(10, { alerts: [alert("a")] }));
  assert.deepEqual(board.get().alerts, []);
  // Reopened, as a picture after the change says.
  takeDashboard(dashboard(30, { alerts: [alert("a")] }));
  assert.deepEqual(ids(board.get().alerts), ["a"]);
});

test("what this page did is shown before the feed tells it, and listeners hear of it", () => {
  takeDashboard(dashboard(0, { alerts: [alert("a"), alert("b")] }));
  const heard = [];
  const end = onFrame(({ type, data }) => heard.push([type, data.id]));
  takeAlert(alert("a", "acknowledged"));
  end();
  takeAlert(alert("b", "acknowledged"));
  assert.deepEqual(board.get().alerts, []);
  assert.deepEqual(heard, [["alert_updated", "a"]]);
});

test("alerts are announced once, and not those that were there before", () => {
  takeDashboard(dashboard(0, { alerts: [alert("a")] }));
  assert.deepEqual(announced, []);
  frame("alert_new", alert("b"), 1);
  frame("alert_new", alert("b"), 2);
  frame("alert_new", alert("a"), 3);
  takeDashboard(dashboard(10, { alerts: [alert("a"), alert("b"), alert("c")] }));
  assert.deepEqual(announced, ["b", "c"]);
});

test("the health of a webhook changes in its row, and others stay the same objects", () => {
  const row = (id) => ({ id, status: "healthy", reason: "well", alerts: 0, health: { status: "healthy", score: 1 } });
  const rows = ["a", "b"].map(row);
  takeDashboard(dashboard(0, { webhooks: rows }));
  frame("webhook_status_changed", { webhook_id: "b", status: "degraded", reason: "slow", at: time(1) }, 1);
  const [first, second] = board.get().webhooks;
  assert.equal(first, rows[0]);
  assert.deepEqual(second.health, { status: "degraded", score: 1, reason: "slow", changed_at: time(1) });
  assert.deepEqual([second.status, second.reason], ["degraded", "slow"]);
});

test("open alerts and what a user set say more than a change of health", () => {
  const health = { status: "healthy", score: 1 };
  const rows = [
    { id: "a", status: "unavailable", reason: "alert", alerts: 1, health },
    { id: "b", status: "paused", reason: "by ann", alerts: 0, health },
  ];
  takeDashboard(dashboard(0, { webhooks: rows }));
  for (const id of ["a", "b"])
    frame("webhook_status_changed", { webhook_id: id, status: "degraded", reason: "slow", at: time(1) }, 1);
  const after = board.get().webhooks;
  assert.deepEqual(after.map((one) => one.status), ["unavailable", "paused"]);
  assert.deepEqual(after.map((one) => one.health.status), ["degraded", "degraded"]);
});

test("a change of a webhook that is not among the shown changes none, and listeners hear of it", () => {
  takeDashboard(dashboard(0, { webhooks: [{ id: "a", health: {} }] }));
  const before = board.get().webhooks;
  const told = [];
  const end = onFrame(({ data }) => told.push(data.webhook_id));
  frame("webhook_status_changed", { webhook_id: "z", status: "healthy", reason: "well", at: time(1) }, 1);
  end();
  assert.deepEqual(board.get().webhooks, before);
  assert.deepEqual(told, ["z"]);
});

test("an anomaly is open until it is closed", () => {
  takeDashboard(dashboard(0));
  const anomaly = (id) => ({ id, severity: "warning", webhook_id: "w", webhook_name: "W", sentence: "It is slow." });
  frame("anomaly_opened", anomaly("a"), 1);
  frame("anomaly_opened", anomaly("b"), 2);
  frame("anomaly_opened", anomaly("a"), 3);
  assert.deepEqual(ids(board.get().anomalies), ["a", "b"]);
  frame("anomaly_closed", anomaly("a"), 4);
  assert.deepEqual(ids(board.get().anomalies), ["b"]);
});

test("figures go on from one to the next, and an older one adds no point", () => {
  takeDashboard(dashboard(0));
  frame("metrics_update", overview(20, 7), 20);
  frame("metrics_update", overview(10, 99), 21);
  frame("metrics_update", overview(20, 98), 22);
  const { overview: shown, points } = board.get();
  assert.equal(shown.queue.pending, 7);
  assert.deepEqual(
    points.map((point) => [point.at, point.pending]),
    [
      [Date.parse(time(0)) / 1_000, 0],
      [Date.parse(time(20)) / 1_000, 7],
    ],
  );
});

test("what is kept is bounded, the newest of it", () => {
  takeDashboard(dashboard(0));
  for (let i = 1; i <= 400; i += 1) {
    frame("metrics_update", overview(i, i), i);
    frame("alert_new", alert(String(i).padStart(3, "0")), i);
  }
  const { points, changes } = board.get();
  assert.deepEqual([points.length, changes.length], [180, 50]);
  assert.equal(points.at(-1).pending, 400);
  assert.equal(changes.at(-1).alert.id, "400");
});

test("a kind of frame that is not known is ignored", () => {
  takeDashboard(dashboard(0));
  const before = board.get();
  frame("moon_phase_changed", { id: "x" }, 1);
  assert.equal(board.get(), before);
});

test("words for the ear and the title", () => {
  assert.match(spoken(alert("a")), /^New critical alert at \d+ \w+, \d\d:\d\d:\d\d: Alert a$/);
  assert.equal(waiting(null), "");
  assert.equal(waiting(overview(0)), "");
  assert.equal(waiting({ alerts: { critical: 1, warning: 0, info: 0 } }), "1 alert");
  assert.equal(waiting({ alerts: { critical: 1, warning: 2, info: 1 } }), "4 alerts");
});
