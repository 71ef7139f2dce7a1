import assert from "node:assert/strict";
import test from "node:test";
import "./browser.js";

const { fill } = await import("../../../src/monitor/http/page/static/js/charts/series.js");
const { RANGES, rangeOf } = await import("../../../src/monitor/http/page/static/js/ranges.js");

const START_S = Date.parse("2026-03-01T12:00:00Z") / 1_000;
const point = (seconds, attempts = 1) => ({ at: new Date((START_S + seconds) * 1_000).toISOString(), attempts });

test("steps without attempts are gaps, not neighbours", () => {
  const [first, last] = [point(0), point(180)];
  const { x, known } = fill([first, last], START_S, START_S + 240, 60);
  assert.deepEqual(
    x.map((time) => time - START_S),
    [0, 60, 120, 180],
  );
  assert.deepEqual(known, [first, null, null, last]);
});

test("without a point there is a whole range of gaps", () => {
  const { x, known } = fill([], START_S, START_S + 180, 60);
  assert.equal(x.length, 3);
  assert.deepEqual(known, [null, null, null]);
});

test("steps begin where the points do, which need not be at a round time", () => {
  const points = [point(7), point(67)];
  const { x, known } = fill(points, START_S + 7, START_S + 187, 60);
  assert.deepEqual(
    x.map((time) => time - START_S),
    [7, 67, 127],
  );
  assert.deepEqual(known, [...points, null]);
});

test("a point before the range is shown, and one at its end is not", () => {
  const points = [point(-60), point(0), point(60)];
  const { known } = fill(points, START_S, START_S + 60, 60);
  assert.deepEqual(known, points.slice(0, 2));
});

test("a named range ends with the step that is going on, and moves", () => {
  for (const [range, lengthS, stepS] of RANGES) {
    const { fromS, toS, stepS: step, isMoving } = rangeOf({ range });
    assert.deepEqual([toS - fromS, step, isMoving], [lengthS, stepS, true], range);
    assert.equal(toS % stepS, 0, range);
    assert.ok(toS >= Date.now() / 1_000 - 1 && toS - stepS <= Date.now() / 1_000, range);
    assert.ok(lengthS / stepS <= 180, range);
  }
});

test("an unknown range is an hour", () => {
  const { fromS, toS } = rangeOf({ range: "9y" });
  assert.equal(toS - fromS, 3_600);
});

test("a range of one's own is widened to whole steps, and stands still", () => {
  const range = rangeOf({ range: "custom", from: "2026-03-01T12:00:30Z", to: "2026-03-01T12:10:30Z" });
  assert.deepEqual(range, { fromS: START_S, toS: START_S + 660, stepS: 60, isMoving: false });
});

test("the longer it is, the coarser its steps: at most about 300 points, and a day at most", () => {
  const lasting = (days) => rangeOf({ from: "2026-01-01T00:00:00Z", to: new Date(Date.UTC(2026, 0, 1 + days)).toISOString() });
  for (const days of [1, 7, 30, 300]) {
    const { fromS, toS, stepS } = lasting(days);
    assert.ok((toS - fromS) / stepS <= 301, String(days));
  }
  assert.equal(lasting(3_000).stepS, 86_400);
});

test("a range that ends before it begins is not taken", () => {
  assert.equal(rangeOf({ from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z" }).isMoving, true);
  assert.equal(rangeOf({ from: "2026-03-02T00:00:00Z", to: "2026-03-02T00:00:00Z" }).isMoving, true);
  assert.equal(rangeOf({ from: "soon", to: "later" }).isMoving, true);
});
