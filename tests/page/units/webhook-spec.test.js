import assert from "node:assert/strict";
import test from "node:test";
import { BLANK, fromWebhook, toSpec } from "../../../src/monitor/http/page/static/js/webhook-spec.js";

const WEBHOOK = {
  name: "Billing",
  url: "https://example.com/hooks",
  description: "",
  event_types: ["order.paid", "order.*"],
  labels: { team: "billing", region: "eu=west" },
  headers: { "X-Api-Key": "***" },
  enabled: true,
  reenable: "probe",
  timeout_s: 2.5,
  max_concurrency: 4,
  rate_limit: { per_s: 0.5, burst: 3 },
  retry: { schedule_s: [0, 5, 300] },
  ordered: "key",
  skip_after: 3,
  signature: "v1a",
  body_format: "slack",
};

test("a webhook that is opened and saved is the same", () => {
  assert.deepEqual(toSpec(fromWebhook(WEBHOOK), WEBHOOK), WEBHOOK);
});

test("so is one without any of what may be left out", () => {
  const bare = { ...WEBHOOK, labels: {}, headers: {}, rate_limit: null, ordered: false, skip_after: null };
  assert.deepEqual(toSpec(fromWebhook(bare), bare), bare);
});

test("the blank form asks for what the API would choose, with ten attempts at once and ten in all", () => {
  const spec = toSpec({ ...BLANK, name: " New ", url: " https://example.com " });
  assert.equal(spec.name, "New");
  assert.equal(spec.url, "https://example.com");
  assert.deepEqual(spec.event_types, ["*"]);
  assert.equal(spec.retry.schedule_s.length, 10);
  assert.deepEqual([spec.max_concurrency, spec.timeout_s, spec.rate_limit, spec.ordered], [10, 15, null, false]);
});

test("labels and headers that were removed are patched away, others kept", () => {
  const form = { ...fromWebhook(WEBHOOK), labels: "team = core", headers: "" };
  const { labels, headers } = toSpec(form, WEBHOOK);
  assert.deepEqual(labels, { region: null, team: "core" });
  assert.deepEqual(headers, { "X-Api-Key": null });
});

test("only the first separator of a line parts name and value", () => {
  const form = { ...BLANK, labels: "a=b=c\n\n  d=  ", headers: "X-Url: https://example.com:8080/x" };
  const { labels, headers } = toSpec(form);
  assert.deepEqual(labels, { a: "b=c", d: "" });
  assert.deepEqual(headers, { "X-Url": "https://example.com:8080/x" });
});

test("a line that cannot be read is named with its words", () => {
  assert.throws(() => toSpec({ ...BLANK, labels: "team" }), /Labels: “team” has no “=”/);
  assert.throws(() => toSpec({ ...BLANK, labels: "=billing" }), /Labels: “=billing”/);
  assert.throws(() => toSpec({ ...BLANK, headers: "X-Api-Key secret" }), /Headers: .* has no “:”/);
  assert.throws(() => toSpec({ ...BLANK, schedule: "0 five" }), /Delays: enter seconds/);
});

test("lists may be parted by spaces, commas and line breaks", () => {
  const spec = toSpec({ ...BLANK, eventTypes: "a.b, c.d\n e.*,,", schedule: "0, 5\n300" });
  assert.deepEqual(spec.event_types, ["a.b", "c.d", "e.*"]);
  assert.deepEqual(spec.retry.schedule_s, [0, 5, 300]);
});

test("a rate limit without a burst lets one through at once", () => {
  assert.deepEqual(toSpec({ ...BLANK, perSecond: "0.5" }).rate_limit, { per_s: 0.5, burst: 1 });
  assert.equal(toSpec({ ...BLANK, burst: "5" }).rate_limit, null);
});

test("an order is none, by key, or of all", () => {
  const orders = ["false", "key", "true"].map((ordered) => toSpec({ ...BLANK, ordered }).ordered);
  assert.deepEqual(orders, [false, "key", true]);
});
