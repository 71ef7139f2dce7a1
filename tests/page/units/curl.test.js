import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { curlOf } from "../../../src/monitor/http/page/static/js/curl.js";

const POST = { method: "POST", url: "https://example.com/hook?a=1&b={2}", request_headers: [] };
/** In place of curl: tells its arguments and what comes in, each ended by a NUL. */
const STAND_IN = `curl() { printf '%s\\0' "$@"; case " $* " in *" @- ") cat;; esac; }`;

/** What curl is given when a POSIX shell runs the command. */
function run(exchange, body) {
  const command = curlOf(exchange, body);
  const { stdout, stderr, status } = spawnSync("sh", ["-c", `${STAND_IN}\n${command}`]);
  assert.deepEqual([status, stderr.toString()], [0, ""]);
  const given = stdout.toString().split("\0");
  const at = given.indexOf("--data-binary");
  const sent = at < 0 ? null : given[at + 1] === "@-" ? given.slice(at + 2).join("\0") : given[at + 1];
  const headers = given.flatMap((part, i) => (part === "--header" ? [given[i + 1]] : []));
  return { command, given, sent, headers };
}

test("the same bytes are sent, whatever a shell would make of them", () => {
  const bodies = [
    '{"a": 19.90}',
    "it's $HOME `id` \\n \"x\" !",
    "@/etc/passwd",
    "",
    "line\nline\r\n\ttab",
    "naïve 👩‍🚀 שלום",
    "back\\0slash \\ at the end\\",
    "hidden \u202e and \u001b[31m",
    `{"long": "${"x".repeat(40_000)}'\\"}`,
    "%s %b %%",
  ];
  for (const body of bodies) assert.equal(run(POST, body).sent, body, JSON.stringify(body.slice(0, 40)));
});

test("nothing that a terminal obeys, or that reorders text, stands in the command", () => {
  const { command } = run(POST, "a\u202eb\u001bc");
  assert.doesNotMatch(command, /[\u202e\u001b]/);
});

test("the address is sent as it is, and a masked part is named", () => {
  assert.ok(run(POST, "x").given.includes(POST.url));
  assert.ok(run({ ...POST, url: "https://example.com/it's" }, "x").given.includes("https://example.com/it's"));
  assert.ok(run({ ...POST, url: "https://h/services/***" }, "x").given.includes("https://h/services/<SECRET>"));
});

test("headers are sent but those that curl writes; a secret is named, an empty value kept", () => {
  const request_headers = [
    { name: "Host", value: "example.com" },
    { name: "Content-Length", value: "1" },
    { name: "webhook-id", value: "msg_1" },
    { name: "X-Token", value: "***" },
    { name: "X-Quoted", value: "it's $(id)" },
    { name: "X-Empty", value: "" },
  ];
  assert.deepEqual(run({ ...POST, request_headers }, "x").headers, [
    "webhook-id: msg_1",
    "X-Token: <X-Token>",
    "X-Quoted: it's $(id)",
    "X-Empty;",
    "Expect:",
  ]);
});

test("a body that is not known is not made up", () => {
  assert.equal(run(POST, null).sent, null);
});
