import assert from "node:assert/strict";
import test from "node:test";
import {
  ago,
  at,
  capital,
  clock,
  count,
  duration,
  fieldTime,
  ms,
  perSecond,
  percent,
  plural,
  precisely,
  short,
} from "../../../src/monitor/http/page/static/js/format.js";

/** Runs *check* as if this computer stood in *zone*. */
function inZone(zone, check) {
  const before = process.env.TZ;
  process.env.TZ = zone;
  try {
    check();
  } finally {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  }
}

function reads(format, cases) {
  for (const [value, text] of cases) assert.equal(format(value), text, `${format.name}(${value})`);
}

test("what is not known reads as a dash, in every unit", () => {
  for (const format of [count, short, percent, ms, perSecond, duration])
    reads(format, [
      [null, "–"],
      [undefined, "–"],
      [NaN, "–"],
    ]);
  for (const format of [at, clock]) reads(format, [[null, "–"]]);
  assert.equal(precisely(null), "");
  assert.equal(ago(null, 0), "–");
});

test("large numbers are shortened only from where it saves something", () => {
  reads(count, [
    [0, "0"],
    [1_234_567, "1,234,567"],
  ]);
  reads(short, [
    [0, "0"],
    [9_999, "9,999"],
    [10_000, "10.0k"],
    [12_345, "12.3k"],
    [99_940, "99.9k"],
    [123_456, "123k"],
    [1_000_000, "1.0M"],
    [12_345_678, "12.3M"],
  ]);
});

test("a share has more places close to one, and never rounds up to all or down from some", () => {
  reads(percent, [
    [0, "0 %"],
    [1, "100 %"],
    [0.5, "50 %"],
    [0.1234, "12.3 %"],
    [0.98765, "98.8 %"],
    [0.99123, "99.12 %"],
    [0.999123, "99.912 %"],
    [0.9999999, "99.999 %"],
  ]);
});

test("milliseconds change their unit where they become hard to read", () => {
  reads(ms, [
    [0, "0.0 ms"],
    [9.94, "9.9 ms"],
    [10, "10 ms"],
    [999.4, "999 ms"],
    [1_000, "1.00 s"],
    [9_999, "10.00 s"],
    [12_345, "12.3 s"],
    [60_000, "1 min"],
    [90_000, "1 min 30 s"],
  ]);
});

test("a rate below one in a second is one in a minute", () => {
  reads(perSecond, [
    [0, "0 /s"],
    [0.5, "30.0 /min"],
    [1, "1.00 /s"],
    [9.876, "9.88 /s"],
    [10, "10 /s"],
  ]);
});

test("a length of time has two units at most, and no zeros", () => {
  reads(duration, [
    [0, "0 s"],
    [0.9, "0 s"],
    [1, "1 s"],
    [59.9, "59 s"],
    [60, "1 min"],
    [90, "1 min 30 s"],
    [3_600, "1 h"],
    [3_661, "1 h 1 min"],
    [86_399, "23 h 59 min"],
    [86_400, "1 d"],
    [90_061, "1 d 1 h"],
    [2_592_000, "30 d"],
  ]);
});

test("a time is told from now, before it and after it", () => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  const then = (seconds) => new Date(now - seconds * 1_000).toISOString();
  const cases = [
    [0, "just now"],
    [-1, "just now"],
    [4.9, "just now"],
    [5, "5 s ago"],
    [59, "59 s ago"],
    [60, "1 min ago"],
    [3_600, "1 h ago"],
    [172_800, "2 d ago"],
    [-2, "in 2 s"],
    [-7_300, "in 2 h 2 min"],
  ];
  for (const [seconds, text] of cases) assert.equal(ago(then(seconds), now), text, String(seconds));
});

test("the value of a datetime field is local, on both sides of a change of the clocks", () => {
  inZone("Europe/Berlin", () => {
    assert.equal(fieldTime(new Date("2026-03-29T00:59:00Z")), "2026-03-29T01:59");
    assert.equal(fieldTime(new Date("2026-03-29T01:00:00Z")), "2026-03-29T03:00");
  });
  inZone("Asia/Kolkata", () => assert.equal(fieldTime(new Date("2026-01-01T00:00:00Z")), "2026-01-01T05:30"));
  inZone("America/St_Johns", () => assert.equal(fieldTime(new Date("2026-01-01T00:00:00Z")), "2025-12-31T20:30"));
});

test("what a datetime field gives is the same minute again", () => {
  for (const zone of ["UTC", "Pacific/Auckland", "America/Caracas"])
    inZone(zone, () => {
      const date = new Date("2026-07-31T23:30:00Z");
      assert.equal(new Date(fieldTime(date)).getTime(), date.getTime(), zone);
    });
});

test("numbers and words agree", () => {
  assert.equal(plural(1, "webhook"), "1 webhook");
  assert.equal(plural(0, "webhook"), "0 webhooks");
  assert.equal(plural(1_200, "delivery", "deliveries"), "1,200 deliveries");
  assert.equal(capital("no data"), "No data");
  assert.equal(capital(""), "");
});
