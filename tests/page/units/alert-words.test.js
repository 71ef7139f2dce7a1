/** What an alert measures, in words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { facts, nowText, worstText } from "../../../src/monitor/http/page/static/js/alert-words.js";

const HELD = [{ cause: "failures", severity: "warning", title: "9 of 40 attempts failed.", evidence: {} }];

test("what holds now is said where the title says something else", () => {
  assert.equal(nowText({ title: "6 of 20 attempts failed.", conditions: HELD }), "9 of 40 attempts failed.");
  assert.equal(nowText({ title: HELD[0].title, conditions: HELD }), "");
  assert.equal(nowText({ title: "Down.", conditions: [] }), "");
  assert.equal(nowText({ title: "Down." }), "");
});

test("how severe it was is said while it is less severe", () => {
  assert.equal(worstText({ severity: "warning", worst_severity: "critical" }), "was critical");
  assert.equal(worstText({ severity: "warning", worst_severity: "warning" }), "");
  assert.equal(worstText({ severity: "warning" }), "");
});

test("by which labels a mass failure is told is no measurement", () => {
  const told = facts("mass_failure", { failing: 6, tried: 10, reach: { labels: { team: ["x"] }, every: false } });
  assert.deepEqual(told, [["Failing together", "6 webhooks"], ["With attempts lately", "10 webhooks"]]);
});
