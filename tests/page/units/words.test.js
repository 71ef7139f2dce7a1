import assert from "node:assert/strict";
import test from "node:test";
import { queued, sentNow } from "../../../src/monitor/http/page/static/js/queued.js";
import { chance, failure, verdict } from "../../../src/monitor/http/page/static/js/verdict.js";
import { zone } from "../../../src/monitor/http/page/static/js/zone.js";

zone.set({ choice: "utc" });
const NOW = Date.parse("2026-03-01T12:00:00Z");
const later = (seconds) => new Date(NOW + seconds * 1_000).toISOString();

const WEBHOOK = {
  enabled: true,
  paused_at: null,
  status: "degraded",
  status_reason: "2 of the last 9 attempts failed",
  health: { status: "degraded" },
  backlog: { breaker: { failures_in_row: 2 } },
};
const FAILED = { error: "connect", error_detail: "could not connect: connection refused" };

test("a failed attempt is said as the sender met it", () => {
  const cases = [
    [{ error: "status", status_code: 503, error_detail: "answered 503" }, "HTTP 503"],
    [FAILED, "connection refused"],
    [{ error: "timeout", error_detail: null }, "timed out"],
    [{ error: "dns", error_detail: "" }, "host name not found"],
    [{ error: "moon", error_detail: null }, "moon"],
  ];
  for (const [attempt, words] of cases) assert.equal(failure(attempt), words);
  assert.equal(failure({ error: "other", error_detail: "x".repeat(140) }).length, 140);
  assert.equal(failure({ error: "other", error_detail: "x".repeat(141) }), `${"x".repeat(140)}…`);
});

test("of an unavailable webhook, what fails now goes before the reason of the server", () => {
  const down = { ...WEBHOOK, status: "unavailable", health: { status: "unavailable" } };
  assert.equal(verdict(down, FAILED, NOW), "Last 2 attempts failed: connection refused.");
  assert.equal(verdict(WEBHOOK, FAILED, NOW), WEBHOOK.status_reason);
  const once = { ...down, backlog: { breaker: { failures_in_row: 1 } } };
  assert.equal(verdict(once, FAILED, NOW), "The last attempt failed: connection refused.");
});

test("without failures in a row, or where alerts say more than health, the reason of the server stands", () => {
  const none = { ...WEBHOOK, backlog: { breaker: { failures_in_row: 0 } } };
  for (const [webhook, last] of [[none, FAILED], [WEBHOOK, null], [{ ...WEBHOOK, backlog: null }, FAILED]])
    assert.equal(verdict(webhook, last, NOW), WEBHOOK.status_reason);
  assert.equal(verdict({ ...WEBHOOK, status: "unavailable" }, FAILED, NOW), WEBHOOK.status_reason);
});

test("a webhook that is off says who turned it off, before that it is paused", () => {
  const paused = { ...WEBHOOK, paused_at: later(-60) };
  assert.equal(verdict(paused, FAILED, NOW), "Paused. New deliveries queue up.");
  const off = { ...paused, enabled: false, disabled: null };
  assert.equal(verdict(off, FAILED, NOW), "Disabled by a user. Nothing is sent.");
  const disabled = { reason: "Failing for 5 days.", events_kept_until: later(3_600), next_probe_at: later(120) };
  assert.equal(
    verdict({ ...off, disabled }, FAILED, NOW),
    "Failing for 5 days. Its events are kept until 1 Mar, 13:00; enable it before, and they can be delivered. Next probe in 2 min.",
  );
  const gone = { ...disabled, events_kept_until: null, next_probe_at: null };
  assert.equal(verdict({ ...off, disabled: gone }, FAILED, NOW), "Failing for 5 days.");
});

test("a chance is never rounded to none or to certainty", () => {
  const cases = [[0, "0"], [0.001, "< 1"], [0.182, "18"], [0.994, "99"], [0.999, "> 99"], [1, "100"]];
  for (const [ratio, shown] of cases) assert.equal(chance(ratio), `${shown} % chance the next delivery fails`);
});

test("a count that is cut says so", () => {
  assert.equal(queued({ waiting: 0, complete: true }), "Nothing queued");
  assert.equal(queued({ waiting: 8_485, complete: true }), "Queued 8,485");
  assert.equal(queued({ waiting: 10_000, complete: false }), "Queued 10,000+");
});

test("sending now says what comes of it", () => {
  const closed = { waiting: 2, breaker: { state: "closed" } };
  const open = { waiting: 2, breaker: { state: "open" } };
  const done = { hastened: 2, job: null, held: null };
  assert.equal(sentNow(done, closed, NOW), "2 deliveries are being sent.");
  assert.equal(sentNow(done, { ...closed, waiting: 1 }, NOW), "1 delivery is being sent.");
  assert.equal(sentNow(done, open, NOW), "One delivery is tried now; if it succeeds, the others follow.");
  assert.equal(sentNow(done, { ...closed, waiting: 0 }, NOW), "Nothing is queued.");
  assert.equal(sentNow(done, null, NOW), "Nothing is queued.");
  const held = { reason: "throttled", until: later(20) };
  assert.equal(
    sentNow({ ...done, held }, closed, NOW),
    "Queued deliveries are due. Held: receiver asked for a pause (429), next try in 20 s.",
  );
});
