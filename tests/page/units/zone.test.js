import assert from "node:assert/strict";
import test, { afterEach, mock } from "node:test";
import "./browser.js";

// Half an hour off, and on another day than UTC for a part of it.
process.env.TZ = "Asia/Kolkata";
const { ahead, ago, at, clock, fieldTime, minute, precisely, timeOfField, utcDay } = await import(
  "../../../src/monitor/http/page/static/js/format.js"
);
const { chooseZone, startZone, timeZone, zone, zoneName } = await import(
  "../../../src/monitor/http/page/static/js/zone.js"
);

const TIME = "2026-03-01T18:35:07Z";

afterEach(() => {
  localStorage.removeItem("monitor.zone");
  zone.set({ choice: "local" });
  mock.timers.reset();
});

test("times are in the zone of this computer, or in UTC once that is chosen", () => {
  assert.deepEqual([at(TIME), minute(TIME)], ["2 Mar, 00:05", "00:05"]);
  // By its old or its new name.
  assert.match(zoneName(), /^Asia\/(Calcutta|Kolkata)$/);
  chooseZone("utc");
  assert.deepEqual([at(TIME), minute(TIME), zoneName()], ["1 Mar, 18:35", "18:35", "UTC"]);
  assert.match(precisely(TIME), /^1 Mar 2026, 18:35:07 UTC$/);
  chooseZone("local");
  assert.equal(at(TIME), "2 Mar, 00:05");
});

test("the choice is kept, and what is kept but no choice is the zone of this computer", () => {
  chooseZone("utc");
  zone.set({ choice: "local" });
  startZone();
  assert.equal(timeZone(), "UTC");
  localStorage.setItem("monitor.zone", "mars");
  startZone();
  assert.equal(timeZone(), undefined);
});

test("midnight is 00, and the time of another day says which, by the zone of times", () => {
  mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-03-01T18:45:00Z") });
  assert.equal(clock(TIME), "00:05:07");
  assert.equal(clock("2026-03-01T18:29:59Z"), "1 Mar, 23:59:59");
  chooseZone("utc");
  assert.equal(clock("2026-03-01T18:29:59Z"), "18:29:59");
  assert.equal(clock("2026-03-01T00:00:00Z"), "00:00:00");
  assert.equal(clock("2026-02-28T23:59:59Z"), "28 Feb, 23:59:59");
});

test("a field holds the time of the zone, and gives the same moment back", () => {
  for (const [choice, text] of [["local", "2026-03-02T00:05"], ["utc", "2026-03-01T18:35"]]) {
    chooseZone(choice);
    assert.equal(fieldTime(new Date(TIME)), text);
    assert.equal(timeOfField(text).toISOString(), "2026-03-01T18:35:00.000Z");
  }
});

test("the day of an uptime is that of UTC in any zone", () => {
  assert.match(utcDay("2026-03-01T23:00:00Z"), /^Sun,? 1 Mar$/);
});

test("what is to come is rounded up, what was is rounded down", () => {
  const cases = [
    [7_199.5, "in 2 h"],
    [7_200, "in 2 h"],
    [61, "in 2 min"],
    [60, "in 1 min"],
    [1.2, "in 2 s"],
    [86_401, "in 1 d 1 h"],
  ];
  for (const [seconds, text] of cases) assert.equal(ahead(seconds), text, String(seconds));
  const now = Date.parse(TIME);
  assert.equal(ago(new Date(now - 7_199_500).toISOString(), now), "1 h ago");
});
