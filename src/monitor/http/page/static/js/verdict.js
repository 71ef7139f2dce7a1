/** How a webhook stands, in one sentence. */

import { ago, at } from "./format.js";

/** Why an attempt had no answer, or a delivery no attempt, in words. */
const KINDS = {
  dns: "host name not found",
  connect: "could not connect",
  tls: "TLS handshake failed",
  timeout: "timed out",
  reset: "connection reset",
  protocol: "invalid HTTP response",
  blocked: "address not allowed",
  replaced: "replaced by a newer message",
};
const SHOWN = 140;

/** The kind of an error in words, where its details are not at hand. */
export const kindOfError = (error) => (error === "status" ? "HTTP status" : (KINDS[error] ?? error));

/** Why an attempt failed, as the sender met it. */
export function failure({ error, status_code: status, error_detail: detail }) {
  // Of a mail server's reply the detail says what it means: "SMTP 550: …".
  if (error === "status" && !detail?.startsWith("SMTP ")) return `HTTP ${status}`;
  const words = detail?.replace(/^could not connect: /, "") || KINDS[error] || error;
  return words.length > SHOWN ? `${words.slice(0, SHOWN)}…` : words;
}

/** Replies of mail servers that receivers of webhooks do not answer. */
const OF_SMTP = new Set([250, 421, 450, 451, 452, 530, 534, 535, 538, 550, 551, 552, 553, 554]);

/** A status code, where nothing else is at hand that says of which protocol it is. */
export const codeInWords = (status) => `${OF_SMTP.has(status) ? "SMTP" : "HTTP"} ${status}`;

/**
 * @param {object} webhook with its details
 * @param {object|null} last its latest attempt that failed
 * @param {number} now milliseconds
 */
export function verdict(webhook, last, now) {
  if (!webhook.enabled) return disabled(webhook, now);
  if (webhook.paused_at) return "Paused. New deliveries queue up.";
  const inRow = webhook.backlog?.breaker.failures_in_row ?? 0;
  // Of one that still answers at times, how often it fails says more than its latest failure, and stands still.
  if (webhook.status !== "unavailable" || webhook.health.status !== "unavailable" || !last || !inRow)
    return webhook.status_reason;
  return `${inRow === 1 ? "The last attempt" : `Last ${inRow} attempts`} failed: ${failure(last)}.`;
}

function disabled({ disabled: how }, now) {
  if (!how) return "Disabled by a user. Nothing is sent.";
  const { reason, events_kept_until: until, next_probe_at: probe } = how;
  const kept = until ? ` Its events are kept until ${at(until)}; enable it before, and they can be delivered.` : "";
  return `${reason}${kept}${probe ? ` Next probe ${ago(probe, now)}.` : ""}`;
}

/** @param {number} ratio the chance that the next delivery fails, 0 to 1 */
export function chance(ratio) {
  const whole = Math.round(ratio * 100);
  const shown = ratio > 0 && whole < 1 ? "< 1" : ratio < 1 && whole > 99 ? "> 99" : whole;
  return `${shown} % chance the next delivery fails`;
}
