import assert from "node:assert/strict";
import test from "node:test";
import { location } from "./browser.js";

const { go, href, route, setQuery, startRouter } = await import("../../../src/monitor/http/page/static/js/router.js");

/** What the router makes of an address that somebody opens. */
function opened(hash) {
  const window = new EventTarget();
  globalThis.window = window;
  location.hash = hash;
  startRouter();
  delete globalThis.window;
  return route.get();
}

test("an address names its view, and what it is about", () => {
  const cases = [
    ["", "overview", null],
    ["#", "overview", null],
    ["#/", "overview", null],
    ["#/webhooks", "webhooks", null],
    ["#/webhooks/new", "webhook-new", null],
    ["#/webhooks/01a-b", "webhook", "01a-b"],
    ["#/webhooks/01a-b/edit", "webhook-edit", "01a-b"],
    ["#/alerts/7", "alert", "7"],
    ["#/silences/new", "silence-new", null],
    ["#/events/e_1", "event", "e_1"],
    ["#/nowhere", "lost", null],
    ["#/webhooks/a/b", "lost", null],
    ["#/webhooks/%3Cscript%3E", "lost", null],
  ];
  for (const [hash, name, id] of cases) {
    const at = opened(hash);
    assert.deepEqual([at.name, at.id], [name, id], hash);
  }
});

test("the query is read as it was written, whatever it holds", () => {
  const query = { q: "a&b=c #1?", label: "team=billing", since: "2026-03-01T00:00:00+01:00" };
  assert.deepEqual(opened(href("/webhooks", query)).query, query);
});

test("what is empty is left out of an address, what is zero or false is not", () => {
  assert.equal(href("/alerts", { state: "", kind: null, severity: undefined }), "#/alerts");
  assert.equal(href("/alerts", { page: 0, active: false }), "#/alerts?page=0&active=false");
  assert.equal(href("/alerts"), "#/alerts");
});

test("a change of the query keeps the rest of it and the view", () => {
  opened("#/alerts/7?state=all&severity=warning");
  setQuery({ severity: "critical", kind: "failing" });
  assert.equal(location.hash, "#/alerts/7?state=all&severity=critical&kind=failing");
  const { name, id, query } = route.get();
  assert.deepEqual([name, id, query], ["alert", "7", { state: "all", severity: "critical", kind: "failing" }]);
  setQuery({ state: "", severity: "", kind: "" });
  assert.equal(location.hash, "#/alerts/7");
});

test("an address without a view becomes the overview's when its query changes", () => {
  opened("");
  setQuery({ range: "24h" });
  assert.equal(location.hash, "#/?range=24h");
  assert.equal(route.get().name, "overview");
});

test("the router follows the address", () => {
  const window = new EventTarget();
  globalThis.window = window;
  startRouter();
  delete globalThis.window;
  go("/events", { type: "order.paid" });
  window.dispatchEvent(new Event("hashchange"));
  assert.equal(route.get().name, "events");
  assert.deepEqual(route.get().query, { type: "order.paid" });
});
