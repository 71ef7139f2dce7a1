import assert from "node:assert/strict";
import test, { mock } from "node:test";
import "./browser.js";

const { filterOf, rangeNameOf, saidOf, stateOf } = await import(
  "../../../src/monitor/http/page/static/js/delivery-filter.js"
);
const { zone } = await import("../../../src/monitor/http/page/static/js/zone.js");

zone.set({ choice: "utc" });
mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-03-02T12:00:00Z") });
const DAY_AGO = "2026-03-01T12:00:00.000Z";

test("without a query, what failed in the last day is asked for", () => {
  assert.deepEqual(filterOf({}), { state: "failed", from: DAY_AGO });
  assert.deepEqual([stateOf({}), rangeNameOf({})], ["failed", "24h"]);
  assert.deepEqual([stateOf({ state: "any" }), rangeNameOf({ range: "7d" })], ["any", "7d"]);
});

test("the address is put in the API's names, and what is empty is left out", () => {
  const query = { state: "pending", webhook: "w", error: "timeout", type: "order.*", label: "team=a", range: "1h", q: "" };
  assert.deepEqual(filterOf(query), {
    state: "pending",
    webhook_id: "w",
    error: "timeout",
    event_type: "order.*",
    label: "team=a",
    from: "2026-03-02T11:00:00.000Z",
  });
});

test("every state and all time set no condition, and an own range goes before a named one", () => {
  assert.deepEqual(filterOf({ state: "any", range: "all" }), {});
  assert.deepEqual(filterOf({ state: "any", range: "1h", to: DAY_AGO }), { to: DAY_AGO });
});

test("what is named by its id is found however old it is", () => {
  assert.deepEqual(filterOf({ state: "any", event: "e" }), { event_id: "e" });
  assert.deepEqual(filterOf({ state: "any", id: "d", range: "1h" }), { id: "d" });
});

test("the words say each condition that is asked for", () => {
  assert.equal(saidOf({}), "Failed deliveries accepted in the last 24 hours.");
  assert.equal(saidOf({ state: "any", range: "all" }), "Deliveries.");
  assert.equal(
    saidOf({ type: "order.*", webhook: "w", label: "team=a", error: "dns", from: DAY_AGO }, "Billing"),
    "Failed deliveries of order.* to Billing to webhooks with team=a with the error “host name not found” accepted from 1 Mar, 12:00.",
  );
  assert.equal(saidOf({ webhook: "w", to: DAY_AGO }), "Failed deliveries to one webhook accepted until 1 Mar, 12:00.");
  assert.equal(saidOf({ state: "any", event: "e", range: "1h" }), "Deliveries of event e.");
  assert.equal(saidOf({ state: "any", id: "d" }), "Deliveries with the id d.");
});
