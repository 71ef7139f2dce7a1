import assert from "node:assert/strict";
import test from "node:test";
import { BLANK, fromWebhook, problemsOf, toSpec } from "../../../src/monitor/http/page/static/js/webhook-spec.js";

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
  reminders: [900, 3_600],
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

const pair = (name, value) => ({ name, value });

test("labels and headers that were removed are patched away, others kept", () => {
  const form = { ...fromWebhook(WEBHOOK), labels: [pair("team", " core ")], headers: [] };
  const { labels, headers } = toSpec(form, WEBHOOK);
  assert.deepEqual(labels, { region: null, team: "core" });
  assert.deepEqual(headers, { "X-Api-Key": null });
});

test("a stored value is kept unless another is typed, and blank rows are left out", () => {
  const stored = { name: "X-Api-Key", value: "", isStored: true };
  const headersOf = (headers) => toSpec({ ...BLANK, headers }).headers;
  assert.deepEqual(headersOf([stored, pair(" ", "")]), { "X-Api-Key": "***" });
  assert.deepEqual(headersOf([{ ...stored, value: "new" }, pair("X-Empty", "")]), { "X-Api-Key": "new", "X-Empty": "" });
});

test("what the form can tell is wrong by itself names its member", () => {
  const good = { ...BLANK, name: "n", url: "https://example.com" };
  const pointers = (patch) => problemsOf({ ...good, ...patch }).map(({ pointer }) => pointer);
  assert.deepEqual(pointers({}), []);
  const cases = [
    [{ name: " " }, "/name"],
    [{ url: "" }, "/url"],
    [{ url: "ftp://example.com" }, "/url"],
    [{ eventTypes: " , " }, "/event_types"],
    [{ timeout: "0.5" }, "/timeout_s"],
    [{ timeout: "" }, "/timeout_s"],
    [{ concurrency: "1.5" }, "/max_concurrency"],
    [{ perSecond: "0" }, "/rate_limit"],
    [{ burst: "x" }, "/burst"],
    [{ schedule: "0 five" }, "/retry"],
    [{ skipAfter: "51" }, "/skip_after"],
    [{ reminders: "soon" }, "/reminders"],
    [{ reminders: "1m" }, "/reminders"],
    [{ reminders: "1h 15m" }, "/reminders"],
    [{ reminders: "25h" }, "/reminders"],
    [{ reminders: Array.from({ length: 11 }, (_, i) => `${5 * i + 5}m`).join(" ") }, "/reminders"],
    [{ labels: [pair("", "billing")] }, "/labels"],
    [{ headers: [pair("X-A", "1"), pair("X-A ", "2")] }, "/headers"],
  ];
  for (const [patch, pointer] of cases) assert.deepEqual(pointers(patch), [pointer], JSON.stringify(patch));
});

test("an own secret is sent when a webhook is made, and never with an edit", () => {
  assert.equal(toSpec({ ...BLANK, secret: " whsec_x " }).secret, "whsec_x");
  assert.equal("secret" in toSpec(BLANK), false);
  assert.equal("secret" in toSpec({ ...fromWebhook(WEBHOOK), secret: "whsec_x" }, WEBHOOK), false);
});

test("reminders are those of the API, own ones, or none", () => {
  const spec = (reminders) => toSpec({ ...BLANK, reminders }).reminders;
  assert.deepEqual([spec(""), spec(" Never "), spec("15m, 1h 1d")], [null, [], [900, 3_600, 86_400]]);
  for (const reminders of [null, [], [300, 7_200]]) {
    const webhook = { ...WEBHOOK, reminders };
    assert.deepEqual(toSpec(fromWebhook(webhook), webhook), webhook);
    assert.deepEqual(problemsOf(fromWebhook(webhook)), []);
  }
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
