import assert from "node:assert/strict";
import test, { mock } from "node:test";
import "./browser.js";
import { running, until } from "./probe.js";

const { Problem } = await import("../../../src/monitor/http/page/static/js/api.js");
const { useAction, useLoad } = await import("../../../src/monitor/http/page/static/js/hooks.js");
const { createStore, useStore } = await import("../../../src/monitor/http/page/static/js/store.js");

test("what is picked of a store follows the props that the picking closes over", async () => {
  const store = createStore({ a: 1, b: 2 });
  const probe = running(({ of }) => useStore(store, (state) => state[of]));
  probe.draw({ of: "a" });
  assert.equal(probe.last, 1);
  probe.draw({ of: "b" });
  assert.equal(probe.last, 2);
  store.set({ b: 3 });
  await until(() => probe.last === 3);
  probe.end();
});

test("a component is drawn again only when what it picked is another value", async () => {
  const store = createStore({ a: 1, b: 2 });
  let draws = 0;
  const probe = running(() => ((draws += 1), useStore(store, (state) => state.a)));
  probe.draw({});
  await new Promise((resolve) => setTimeout(resolve, 100));
  store.set({ b: 9 });
  store.set({ a: 5 });
  await until(() => probe.last === 5);
  assert.equal(draws, 2);
  probe.end();
});

test("an action that fails says why, whatever it threw, and is ready again", async () => {
  const said = mock.method(console, "error", () => {});
  const thrown = [new Problem(409, { title: "Conflict", detail: "It is over." }), new TypeError("x is undefined")];
  const probe = running(() => useAction(async (i) => Promise.reject(thrown[i])));
  probe.draw({});
  assert.equal(await probe.last.run(0), undefined);
  await until(() => probe.last.problem && !probe.last.isBusy);
  assert.equal(probe.last.problem, thrown[0]);
  assert.equal(said.mock.callCount(), 0);
  await probe.last.run(1);
  await until(() => probe.last.problem?.title === "The page failed" && !probe.last.isBusy);
  assert.match(probe.last.problem.message, /x is undefined/);
  assert.equal(said.mock.calls[0].arguments[0], thrown[1]);
  probe.end();
  mock.reset();
});

test("a load keeps what it had beside the problem of the next try, and gives it up for another subject", async () => {
  const answers = { a: [async () => 1, () => Promise.reject(new Problem(0, { title: "No answer" }))], b: [async () => 2] };
  const probe = running(({ of }) => useLoad(() => answers[of].shift()(), [of]));
  probe.draw({ of: "a" });
  assert.deepEqual([probe.last.data, probe.last.isLoading], [null, true]);
  await until(() => probe.last.data === 1);
  probe.last.reload();
  await until(() => probe.last.error);
  assert.deepEqual([probe.last.data, probe.last.error.status, probe.last.isLoading], [1, 0, false]);
  probe.draw({ of: "b" });
  await until(() => probe.last.data === 2);
  assert.equal(probe.last.error, null);
  probe.end();
});

test("of two loads that overtake each other the later counts", async () => {
  const asked = [];
  const probe = running(({ of }) => useLoad((signal) => new Promise((resolve) => asked.push({ resolve, signal })), [of]));
  probe.draw({ of: "a" });
  await until(() => asked.length === 1);
  probe.draw({ of: "b" });
  await until(() => asked.length === 2);
  assert.deepEqual([asked[0].signal.aborted, asked[1].signal.aborted], [true, false]);
  asked[1].resolve("second");
  asked[0].resolve("first");
  await until(() => probe.last.data !== null);
  assert.equal(probe.last.data, "second");
  probe.end();
});
