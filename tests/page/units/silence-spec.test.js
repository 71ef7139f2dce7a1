import assert from "node:assert/strict";
import test from "node:test";

import { inWords, ruleOf, specOf } from "../../../src/monitor/http/page/static/js/silence-spec.js";

const FORM = {
  reason: "Upgrade",
  begin: "now",
  starts: "2026-03-02T10:00",
  length: "7200",
  until: "2026-03-03T10:00",
  repeat: "",
  days: [],
  rule: "",
  zone: "Europe/Berlin",
  last: "",
  hold: false,
  webhook: "",
  label: "team=a",
  kind: "",
};
const iso = (text) => new Date(text).toISOString();

test("a silence from now on has a duration", () => {
  assert.deepEqual(specOf(FORM), { reason: "Upgrade", duration_s: 7200, label: "team=a" });
});

test("a silence may begin later and end at a time", () => {
  const spec = specOf({ ...FORM, begin: "later", length: "until" });
  assert.equal(spec.starts_at, iso("2026-03-02T10:00"));
  assert.equal(spec.ends_at, iso("2026-03-03T10:00"));
  assert.ok(!("duration_s" in spec));
});

test("a field that was emptied is a time in the past", () => {
  assert.equal(specOf({ ...FORM, length: "until", until: "" }).ends_at, iso(0));
});

test("a repetition has a rule, a zone, a duration and perhaps an end", () => {
  const spec = specOf({ ...FORM, repeat: "weekly", days: ["TU", "TH"], length: "until", last: "2026-04-01T00:00" });
  assert.deepEqual(spec.recurrence, { rrule: "FREQ=WEEKLY;BYDAY=TU,TH", timezone: "Europe/Berlin" });
  assert.equal(spec.duration_s, 3600);
  assert.equal(spec.ends_at, iso("2026-04-01T00:00"));
});

test("deliveries are held only of webhooks that are named", () => {
  assert.equal(specOf({ ...FORM, hold: true }).hold_deliveries, true);
  assert.ok(!("hold_deliveries" in specOf({ ...FORM, hold: true, label: " ", kind: "latency" })));
});

test("each choice is a rule", () => {
  const rule = (repeat, more) => ruleOf({ ...FORM, repeat, ...more });
  assert.equal(rule(""), "");
  assert.equal(rule("daily"), "FREQ=DAILY");
  assert.equal(rule("weekdays"), "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR");
  assert.equal(rule("weekly"), "FREQ=WEEKLY");
  assert.equal(rule("monthly"), "FREQ=MONTHLY");
  assert.equal(rule("custom", { rule: " rrule:FREQ=DAILY;COUNT=3 " }), "FREQ=DAILY;COUNT=3");
});

test("rules read as sentences, and as they are where they say more", () => {
  const words = (rrule) => inWords({ rrule, timezone: "UTC" });
  assert.equal(words("FREQ=DAILY"), "Every day, UTC");
  assert.equal(words("freq=weekly;byday=mo,tu,we,th,fr"), "Every week on Monday to Friday, UTC");
  assert.equal(words("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH"), "Every 2 weeks on Tuesday and Thursday, UTC");
  assert.equal(words("FREQ=MONTHLY;BYDAY=-1SU;COUNT=3"), "Every month on the last Sunday 3 times, UTC");
  assert.equal(words("FREQ=MONTHLY;BYMONTHDAY=1,15,-1"), "Every month on day 1, 15 and -1, UTC");
  assert.equal(words("FREQ=YEARLY;BYDAY=20MO"), "FREQ=YEARLY;BYDAY=20MO, UTC");
  assert.equal(words("FREQ=DAILY;BYHOUR=2"), "FREQ=DAILY;BYHOUR=2, UTC");
});
