import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { createStore } from "../../../src/monitor/http/page/static/js/store.js";
import { onTick } from "../../../src/monitor/http/page/static/js/tick.js";

test("a patch replaces its members and leaves the others", () => {
  const store = createStore({ a: 1, b: { deep: true } });
  const { b } = store.get();
  store.set({ a: 2 });
  assert.deepEqual(store.get(), { a: 2, b: { deep: true } });
  assert.equal(store.get().b, b);
});

test("a state is never changed in place", () => {
  const store = createStore({ n: 0 });
  const before = store.get();
  store.set((state) => ({ n: state.n + 1 }));
  assert.deepEqual([before.n, store.get().n], [0, 1]);
});

test("each listener hears of each change until it ends", () => {
  const store = createStore({ n: 0 });
  const heard = [];
  const end = store.subscribe(({ n }) => heard.push(n));
  store.set({ n: 1 });
  store.set({ n: 2 });
  end();
  store.set({ n: 3 });
  assert.deepEqual(heard, [1, 2]);
});

test("a listener may end itself and others while it is told", () => {
  const store = createStore({ n: 0 });
  const heard = [];
  const ends = [];
  ends.push(store.subscribe(() => (heard.push("first"), ends.forEach((end) => end()))));
  ends.push(store.subscribe(() => heard.push("second")));
  store.set({ n: 1 });
  store.set({ n: 2 });
  assert.deepEqual(heard, ["first", "second"]);
});

test("those who listen at one pace share one timer, which ends with the last", () => {
  mock.timers.enable({ apis: ["setInterval", "Date"] });
  const started = mock.method(globalThis, "setInterval");
  const heard = [];
  const ends = ["a", "b"].map((name) => onTick(1_000, (now) => heard.push([name, now])));
  mock.timers.tick(1_000);
  assert.deepEqual(heard, [
    ["a", 1_000],
    ["b", 1_000],
  ]);
  assert.equal(started.mock.callCount(), 1);
  ends[0]();
  mock.timers.tick(1_000);
  assert.deepEqual(heard.at(-1), ["b", 2_000]);
  ends[1]();
  ends[1]();
  mock.timers.tick(5_000);
  assert.equal(heard.length, 3);
  onTick(1_000, (now) => heard.push(["c", now]))();
  assert.equal(started.mock.callCount(), 2);
  mock.reset();
});
