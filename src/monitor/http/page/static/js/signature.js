/** Standard Webhooks signatures, checked in the browser: the secret goes nowhere. */

import { base64Of, bytesOf } from "./bytes.js";

/** Prefix of the secret, and how many bytes it has. */
const FORMS = [
  { prefix: "whsec_", version: "v1", least: 24, most: 64, isValid: isMac },
  { prefix: "whpk_", version: "v1a", least: 32, most: 32, isValid: isEd25519 },
];

/**
 * @param {string} secret `whsec_…`, or `whpk_…`, the public key of v1a
 * @param {{name: string, value: string}[]} fields header fields of the request
 * @param {Uint8Array} body
 * @returns {Promise<"valid"|"invalid"|"malformed"|"unavailable">} `unavailable`: this browser has no such cryptography
 */
export async function verified(secret, fields, body) {
  if (!globalThis.crypto?.subtle) return "unavailable";
  const form = FORMS.find(({ prefix }) => secret.startsWith(prefix)) ?? FORMS[0];
  const key = decoded(secret.replace(form.prefix, ""));
  if (key === null || key.length < form.least || key.length > form.most) return "malformed";
  const of = (name) => fields.find((field) => field.name.toLowerCase() === name)?.value ?? "";
  const start = new TextEncoder().encode(`${of("webhook-id")}.${of("webhook-timestamp")}.`);
  const content = new Uint8Array([...start, ...body]);
  const parts = of("webhook-signature")
    .split(" ")
    .map((part) => part.split(","))
    .filter(([version]) => version === form.version);
  try {
    const found = await Promise.all(parts.map(([, signature]) => form.isValid(key, content, signature)));
    return found.includes(true) ? "valid" : "invalid";
  } catch (error) {
    if (error.name === "NotSupportedError") return "unavailable";
    return "malformed";
  }
}

/** @returns the bytes that *base64* stands for, null if it is none */
function decoded(base64) {
  try {
    return bytesOf(base64);
  } catch {
    return null;
  }
}

async function isMac(raw, content, signature) {
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return base64Of(new Uint8Array(await crypto.subtle.sign("HMAC", key, content))) === signature;
}

async function isEd25519(raw, content, signature) {
  const key = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
  const bytes = decoded(signature ?? "");
  return bytes !== null && crypto.subtle.verify("Ed25519", key, bytes, content);
}
