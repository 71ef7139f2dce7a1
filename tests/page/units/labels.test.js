import assert from "node:assert/strict";
import test from "node:test";

import { alertsOf } from "../../../src/monitor/http/page/static/js/destination-kinds.js";
import { conditions } from "../../../src/monitor/http/page/static/js/labels.js";

test("the label of an owner is no condition", () => {
  assert.deepEqual(conditions({ team: "blue", "monitor.managed_by": "shop" }), [["team", "blue"]]);
  assert.equal(alertsOf({ "monitor.managed_by": "shop" }), "All alerts");
});
