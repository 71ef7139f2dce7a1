import assert from "node:assert/strict";
import test, { afterEach, mock } from "node:test";
import "./browser.js";

const { Problem, api, asProblem, readAll } = await import("../../../src/monitor/http/page/static/js/api.js");
const { queryText } = await import("../../../src/monitor/http/page/static/js/query-text.js");
const { session } = await import("../../../src/monitor/http/page/static/js/session.js");

const { ROOT } = await import("../../../src/monitor/http/page/static/js/root.js");

const ANN = { sub: "ann", role: "admin", exp: 0 };
let asked = [];

/** Signs *claims* in, in place of whoever is. */
const enter = (claims) => session.set(({ serial }) => ({ state: "in", claims, serial: serial + 1, ended: null, notice: null }));

/** What *act* gives while the server answers with *body*. */
async function answered(body, init, act) {
  asked = [];
  enter(ANN);
  mock.method(globalThis, "fetch", async (address, options) => {
    asked.push({ address, ...options });
    return new Response(body, init);
  });
  return act();
}

afterEach(() => mock.restoreAll());

test("a request goes with the session's cookie to this server alone, and only members that are not empty", async () => {
  await answered("{}", {}, () => api.alerts({ state: "all", kind: "", severity: undefined, limit: 0, cursor: null }));
  const [{ address, headers, credentials }] = asked;
  assert.equal(address, `${ROOT}api/v1/alerts?state=all&limit=0`);
  assert.deepEqual([headers, credentials], [{}, "same-origin"]);
});

test("a request that changes something says so in a header, which no form of another page can send", async () => {
  await answered("{}", {}, () => api.pauseWebhook("w"));
  assert.equal(asked[0].headers["X-Monitor-Session"], "1");
});

test("an id cannot leave its place in the address", async () => {
  await answered("{}", {}, () => api.event("../system/stats?x=1#y"));
  assert.equal(asked[0].address.slice(ROOT.length), "api/v1/events/..%2Fsystem%2Fstats%3Fx%3D1%23y");
});

test("an edit names the version that it is based on", async () => {
  await answered("{}", {}, () => api.changeWebhook("w", { name: "n" }, '"3"'));
  assert.equal(asked[0].method, "PATCH");
  assert.equal(asked[0].headers["If-Match"], '"3"');
  assert.equal(asked[0].headers["Content-Type"], "application/merge-patch+json");
  assert.equal(asked[0].body, '{"name":"n"}');
});

test("a body that is text goes out as it was written", async () => {
  const text = '{"type":"a.b","payload":12345678901234567890}';
  await answered("{}", {}, () => api.postEvent(text));
  assert.equal(asked[0].body, text);
  assert.equal(asked[0].headers["Content-Type"], "application/json");
});

test("a refusal is a problem with all its members", async () => {
  const errors = [{ pointer: "/name", detail: "is too long" }];
  const body = JSON.stringify({ title: "Invalid", detail: "One member is wrong.", errors, request_id: "r1" });
  const problem = await answered(body, { status: 422 }, () => api.deleteWebhook("w").catch((error) => error));
  assert.ok(problem instanceof Problem);
  assert.deepEqual([problem.status, problem.title, problem.message], [422, "Invalid", "One member is wrong."]);
  assert.deepEqual([problem.errors, problem.requestId], [errors, "r1"]);
});

test("a refusal in no JSON, as a proxy writes it, is a problem all the same", async () => {
  const problem = await answered("<h1>502</h1>", { status: 502 }, () => api.dashboard().catch((error) => error));
  assert.deepEqual([problem.status, problem.errors], [502, []]);
  assert.ok(problem.message);
});

/** A server that refuses the first request, and answers the next with *body*. */
function refusedOnce(problem, body) {
  let n = 0;
  mock.method(globalThis, "fetch", async () => {
    n += 1;
    return n === 1 ? new Response(JSON.stringify(problem), { status: 401 }) : new Response(body);
  });
}

/** Runs what is due, until *holds* does. */
async function until(holds) {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

test("a refused request waits for the next token of the same person, and is made again", async () => {
  enter(ANN);
  refusedOnce({ detail: "The token has expired." }, '{"done":true}');
  const answer = api.dashboard();
  await until(() => session.get().ended);
  assert.equal(session.get().ended, "The token has expired.");
  assert.deepEqual(session.get().claims, ANN);
  assert.equal(globalThis.fetch.mock.callCount(), 1);
  enter(ANN);
  assert.deepEqual(await answer, { done: true });
});

test("a request that waited is not made as somebody else", async () => {
  enter(ANN);
  refusedOnce({ type: "urn:monitor:problem:missing_token" }, "{}");
  const answer = api.dashboard().catch((error) => error);
  await until(() => session.get().ended);
  assert.equal(session.get().ended, "This browser is no longer signed in.");
  enter({ ...ANN, sub: "bob" });
  assert.deepEqual([(await answer).status, globalThis.fetch.mock.callCount()], [401, 1]);
});

test("the refusal of an older token says nothing about a newer one", async () => {
  enter(ANN);
  refusedOnce({ detail: "expired" }, "{}");
  const answer = api.dashboard();
  await until(() => globalThis.fetch.mock.callCount() === 1);
  enter(ANN);
  await answer;
  assert.equal(session.get().ended, null);
});

test("no answer is status 0, a defect of the page is none of the server's", async () => {
  enter(ANN);
  mock.method(globalThis, "fetch", async () => Promise.reject(new TypeError("Failed to fetch")));
  const problem = await api.dashboard().catch((error) => error);
  assert.deepEqual([problem.status, problem.title], [0, "No answer"]);
  assert.equal(asProblem(problem), problem);
  mock.method(console, "error", () => {});
  assert.equal(asProblem(new TypeError("x")).status, -1);
});

test("texts of others are made harmless where they are read", async () => {
  const event = await answered('{"payload":{"a\\u202e":"b\\u0000"}}', {}, () => api.event("e"));
  assert.deepEqual(event.payload, { "a\ufffd": "b\ufffd" });
});

test("a query has no question mark of its own when it is empty", () => {
  assert.equal(queryText(null), "");
  assert.equal(queryText({ a: "", b: null, c: undefined }), "");
  assert.equal(queryText({ a: "x y&z", b: false }), "?a=x+y%26z&b=false");
});

test("pages are read until there are no more, or enough", async () => {
  const pages = [1, 2, 3].map((n) => ({ items: [n * 2 - 1, n * 2], next_cursor: n < 3 ? String(n) : null }));
  const read = async ({ cursor }) => pages[Number(cursor ?? 0)];
  const told = [];
  const all = await readAll(read, { cap: 100, onPage: (rows, isMore) => told.push([rows.length, isMore]) });
  assert.deepEqual(all, { rows: [1, 2, 3, 4, 5, 6], isWhole: true });
  assert.deepEqual(told, [
    [2, true],
    [4, true],
    [6, false],
  ]);
  const some = await readAll(read, { cap: 4 });
  assert.deepEqual(some, { rows: [1, 2, 3, 4], isWhole: false });
});
