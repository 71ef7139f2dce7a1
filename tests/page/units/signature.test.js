import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import test from "node:test";
import { base64Of, bytesOf, indented, textOf } from "../../../src/monitor/http/page/static/js/bytes.js";
import { verified } from "../../../src/monitor/http/page/static/js/signature.js";

const BODY = new TextEncoder().encode('{"amount": 19.90, "who": "שלום"}');
const ID = "msg_1";
const TIME = "1772366400";
const CONTENT = Buffer.concat([Buffer.from(`${ID}.${TIME}.`), BODY]);
const KEY = randomBytes(32);
const SECRET = `whsec_${KEY.toString("base64")}`;
const hmac = (key) => `v1,${createHmac("sha256", key).update(CONTENT).digest("base64")}`;
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const PUBLIC = `whpk_${publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64")}`;
const SIGNED = `v1a,${sign(null, CONTENT, privateKey).toString("base64")}`;

const fields = (signature) => [
  { name: "Webhook-Id", value: ID },
  { name: "webhook-timestamp", value: TIME },
  { name: "WEBHOOK-SIGNATURE", value: signature },
];

test("the secret that signed is told from another, also beside an old one", async () => {
  assert.equal(await verified(SECRET, fields(hmac(KEY)), BODY), "valid");
  assert.equal(await verified(SECRET, fields(`${hmac(randomBytes(32))} ${hmac(KEY)}`), BODY), "valid");
  assert.equal(await verified(SECRET, fields(hmac(randomBytes(32))), BODY), "invalid");
  assert.equal(await verified(SECRET, fields(""), BODY), "invalid");
});

test("a body that was changed by a byte is not what was signed", async () => {
  const changed = Uint8Array.from(BODY, (byte, i) => (i ? byte : byte ^ 1));
  assert.equal(await verified(SECRET, fields(hmac(KEY)), changed), "invalid");
  assert.equal(await verified(PUBLIC, fields(SIGNED), changed), "invalid");
});

test("a public key verifies v1a, and no kind of secret the signature of the other", async () => {
  assert.equal(await verified(PUBLIC, fields(SIGNED), BODY), "valid");
  assert.equal(await verified(PUBLIC, fields(hmac(KEY)), BODY), "invalid");
  assert.equal(await verified(SECRET, fields(SIGNED), BODY), "invalid");
});

test("what is no secret is told from one that did not sign", async () => {
  const short = `whsec_${randomBytes(23).toString("base64")}`;
  const long = `whsec_${randomBytes(65).toString("base64")}`;
  for (const text of ["", "hunter2!", "whsec_", "whsec_***", short, long, "whpk_AAAA"])
    assert.equal(await verified(text, fields(hmac(KEY)), BODY), "malformed", text);
});

test("a signature that is no base64 is invalid: it is not the secret's fault", async () => {
  assert.equal(await verified(PUBLIC, fields("v1a,***"), BODY), "invalid");
  assert.equal(await verified(PUBLIC, fields("v1a"), BODY), "invalid");
  assert.equal(await verified(SECRET, fields("v1,***"), BODY), "invalid");
});

test("bytes and base64 are each other's way back, for every byte", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(bytesOf(base64Of(all)), all);
  assert.equal(base64Of(all), Buffer.from(all).toString("base64"));
});

test("bytes that are no UTF-8 are replaced, and a byte order mark is kept", () => {
  assert.equal(textOf(Uint8Array.of(0xff, 0x61)), "\ufffda");
  assert.equal(textOf(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
});

test("JSON is put in lines, its numbers and texts as they were written", () => {
  const text = '{"a":19.90,"b":[1e3,{}, []],"c":"x{,:\\"}","d":null}';
  assert.equal(
    indented(text),
    '{\n  "a": 19.90,\n  "b": [\n    1e3,\n    {},\n    []\n  ],\n  "c": "x{,:\\"}",\n  "d": null\n}',
  );
  assert.equal(indented("payload=no+json"), "payload=no+json");
});
