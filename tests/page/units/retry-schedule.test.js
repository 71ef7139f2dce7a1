import assert from "node:assert/strict";
import test from "node:test";
import { PRESETS, delaysOf, inWords, presetOf, typed } from "../../../src/monitor/http/page/static/js/retry-schedule.js";

test("delays are read with and without units", () => {
  const cases = [
    ["0 5s 5m 2h 1d", [0, 5, 300, 7_200, 86_400]],
    ["0, 5\n300", [0, 5, 300]],
    ["0 2min 1.5h", [0, 120, 5_400]],
    ["0.5s", [0.5]],
  ];
  for (const [text, delays] of cases) assert.deepEqual(delaysOf(text), delays, text);
});

test("what is no list of delays is none", () => {
  for (const text of ["", " , ", "five", "0 5x", "-5", "5 s", "1e3", "0 5s;"]) assert.equal(delaysOf(text), null, text);
});

test("what is written is read as the same, in the largest unit that fits", () => {
  assert.equal(typed([0, 5, 90, 300, 7_200, 86_400]), "0 5s 90s 5m 2h 1d");
  for (const [, , delays] of [...PRESETS, ["", "", [0.5, 61, 3_601]]]) assert.deepEqual(delaysOf(typed(delays)), delays);
});

test("a preset is known by its delays, however they are written", () => {
  for (const [name, , delays] of PRESETS) assert.equal(presetOf(typed(delays)), name);
  assert.equal(presetOf("0s, 5, 30, 300, 30m"), "short");
  assert.equal(presetOf("0 7"), "custom");
  assert.equal(presetOf("nonsense"), "custom");
});

test("a schedule is told in words, with its length", () => {
  assert.equal(inWords([0]), "1 attempt, no retries.");
  assert.equal(inWords([0, 5]), "2 attempts: at once, then after 5 s over 5 s.");
  assert.equal(inWords(PRESETS[0][2]), "10 attempts: at once, then after 5 s, 5 min, 30 min … over 3.1 days.");
  assert.match(inWords([0, 86_400]), /over 24 h\.$/);
  assert.match(inWords([0, 5_400]), /over 1\.5 h\.$/);
});
