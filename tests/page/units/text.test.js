import assert from "node:assert/strict";
import test from "node:test";
import { held } from "../../../src/monitor/http/page/static/js/held.js";
import { safeValue } from "../../../src/monitor/http/page/static/js/text.js";

test("characters that hide or reorder text are shown as what they are", () => {
  assert.equal(safeValue("a\u0000b"), "a\ufffdb");
  assert.equal(safeValue("evil\u202egnp.exe"), "evil\ufffdgnp.exe");
  assert.equal(safeValue("\u2066x\u2069\u200f\u061c\u2028"), "\ufffdx\ufffd\ufffd\ufffd\ufffd");
});

test("tabs, line breaks, and texts of any script stay", () => {
  for (const text of ["a\tb\r\nc", "שלום", "नमस्ते", "👩‍🚀", "é"]) assert.equal(safeValue(text), text);
});

test("as a reviver it reaches every text and every name of a document", () => {
  const read = JSON.parse('{"a\u202e": ["\u0085", 1, null, {"b": "\u200e"}]}', (_, value) => safeValue(value));
  assert.deepEqual(read, { "a\ufffd": ["\ufffd", 1, null, { b: "\ufffd" }] });
});

test("what is no text stays as it is", () => {
  const list = [1, "x"];
  for (const value of [0, true, null, list]) assert.equal(safeValue(value), value);
});

const NOW = Date.parse("2026-03-01T12:00:00Z");
const later = (seconds) => new Date(NOW + seconds * 1_000).toISOString();

test("what holds a delivery is said with when it goes on", () => {
  assert.equal(held({ reason: "circuit_open", until: later(30) }, NOW), "Held: circuit open, next try in 30 s");
  assert.equal(held({ reason: "paused", until: null }, NOW), "Held: the webhook is paused");
});

test("a time that has passed is not announced", () => {
  assert.equal(held({ reason: "rate_limit", until: later(-1) }, NOW), "Held: its rate limit");
});

test("the delivery in front is named, with its key if it has one", () => {
  const behind = { reason: "order", until: null, behind: "d1" };
  assert.equal(held(behind, NOW), "Held: an earlier delivery is first (delivery d1)");
  assert.match(held({ ...behind, order_key: "k" }, NOW), /\(delivery d1, order key “k”\)$/);
});

test("a reason of a newer server is shown as it is named, and its own words go before", () => {
  assert.equal(held({ reason: "moon", until: null }, NOW), "Held: moon");
  assert.equal(held({ reason: "moon", until: later(5), detail: "the moon is full" }, NOW), "Held: the moon is full");
});
