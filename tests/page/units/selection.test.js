import assert from "node:assert/strict";
import test from "node:test";
import "./browser.js";
import { running, until } from "./probe.js";

const { useSelection } = await import("../../../src/monitor/http/page/static/js/selection.js");

const row = (id, name = id) => ({ id, name });

/** The ids that are ticked once they are *wanted*. */
async function ticked(probe, ...wanted) {
  await until(() => [...probe.last.items.keys()].join() === wanted.join());
}

test("rows are ticked and unticked by their id, in the order of the ticking", async () => {
  const probe = running(useSelection);
  probe.draw({});
  probe.last.toggle(row("b"));
  probe.last.toggle(row("a"));
  await ticked(probe, "b", "a");
  assert.ok(probe.last.has(row("a", "read again")));
  assert.equal(probe.last.has(row("c")), false);
  probe.last.toggle(row("b", "read again"));
  await ticked(probe, "a");
  probe.end();
});

test("all rows in sight are ticked beside those that are not, and unticked alone", async () => {
  const probe = running(useSelection);
  probe.draw({});
  probe.last.toggle(row("elsewhere"));
  probe.last.setAll([row("a"), row("b")], true);
  await ticked(probe, "elsewhere", "a", "b");
  probe.last.setAll([row("a"), row("b"), row("c")], false);
  await ticked(probe, "elsewhere");
  probe.last.clear();
  await ticked(probe);
  probe.end();
});
