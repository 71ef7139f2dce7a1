import assert from "node:assert/strict";
import test from "node:test";

import { BODY_FORMATS } from "../../../src/monitor/http/page/static/js/body-formats.js";
import { DESTINATIONS, destinationSpec } from "../../../src/monitor/http/page/static/js/destination-kinds.js";

const kindOf = (format) => DESTINATIONS.find((kind) => kind.format === format);

function filled(entries) {
  const form = new FormData();
  for (const [name, value] of Object.entries({ name: " On call ", url: " https://a.example/x ", severity: "", ...entries }))
    form.set(name, value);
  return form;
}

test("every format of a body has its kind of destination", () => {
  assert.deepEqual(DESTINATIONS.map(({ format }) => format).sort(), BODY_FORMATS.map(([format]) => format).sort());
});

test("a destination takes events about alerts in its format", () => {
  assert.deepEqual(destinationSpec(kindOf("slack"), filled({ severity: "critical" })), {
    name: "On call",
    url: "https://a.example/x",
    event_types: ["monitor.alert.*"],
    body_format: "slack",
    labels: { severity: "critical" },
    headers: {},
  });
});

test("the key of a pager becomes a header, as the pager wants it", () => {
  const headersOf = (format) => destinationSpec(kindOf(format), filled({ key: " k1 " })).headers;
  assert.deepEqual(headersOf("pagerduty"), { "X-Routing-Key": "k1" });
  assert.deepEqual(headersOf("opsgenie"), { Authorization: "GenieKey k1" });
  assert.deepEqual(headersOf("ntfy"), { Authorization: "Bearer k1" });
  assert.deepEqual(headersOf("alertmanager"), {});
});

test("an e-mail goes to its addresses without headers", () => {
  const spec = destinationSpec(kindOf("email"), filled({ url: " mailto:ops@example.org " }));
  assert.deepEqual([spec.url, spec.body_format, spec.headers], ["mailto:ops@example.org", "email", {}]);
});

test("a token that may be left out is no header then", () => {
  assert.deepEqual(destinationSpec(kindOf("ntfy"), filled({ key: " " })).headers, {});
});
