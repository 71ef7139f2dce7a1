/** Every icon that a module names has a shape: one without is a blank space on a button. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";
import { Icon } from "../../../src/monitor/http/page/static/js/components/icons.js";

const MODULES = new URL("../../../src/monitor/http/page/static/js/", import.meta.url);
const NAMED = /<\$\{Icon\} name="([a-z]+)"|\bicon(?:="|: ")([a-z]+)"/g;

const named = readdirSync(MODULES, { recursive: true })
  .filter((path) => path.endsWith(".js"))
  .flatMap((path) => [...readFileSync(new URL(path, MODULES), "utf8").matchAll(NAMED)])
  .map(([, element, member]) => element ?? member);

const shapeOf = (name) => Icon({ name }).props.children;

test("each icon that is named has a shape", () => {
  assert.ok(named.includes("more"));
  assert.deepEqual([...new Set(named)].filter((name) => !shapeOf(name)), []);
});
