import assert from "node:assert/strict";
import test from "node:test";
import { SPARSE, knownSpans, pointsOf } from "../../../src/monitor/http/page/static/js/charts/points.js";

const many = Array.from({ length: SPARSE }, (_, i) => i);

test("a value without a neighbour is a point: no line would show it", () => {
  const values = [...many, null, 5, undefined, 6, 7, null, 0];
  assert.deepEqual(pointsOf(values), [SPARSE + 1, SPARSE + 6]);
});

test("few values are all points, a full line has none", () => {
  assert.deepEqual(pointsOf([null, 1, 2, null, 0]), [1, 2, 4]);
  assert.deepEqual(pointsOf([null, null]), []);
  assert.deepEqual(pointsOf(many), []);
});

test("the first and the last value may stand alone", () => {
  assert.deepEqual(pointsOf([1, null, ...many, null, 2]), [0, SPARSE + 3]);
});

test("spans are where any series has a value, each step to its end", () => {
  const x = [0, 60, 120, 180, 240];
  assert.deepEqual(knownSpans(x, [[null, 1, null, null, 0], [null, null, 2, null, null]]), [[60, 180], [240, 300]]);
  assert.deepEqual(knownSpans(x, [[null, null, null, null, null]]), []);
  assert.deepEqual(knownSpans([30], [[1]]), [[30, 90]]);
});
