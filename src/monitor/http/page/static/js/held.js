/** What keeps deliveries from being sent, in words. */

import { ago, at } from "./format.js";

const HELD = {
  release: "Held: deliveries of the pause are released one after the other",
  deleted: "Held: the webhook was deleted, so it is being cancelled",
  refused: "Held: receiver refuses deliveries",
  disabled: "Held: the webhook is disabled",
  paused: "Held: the webhook is paused",
  silence: "Held: a silence holds deliveries",
  secrets: "Held: its secrets cannot be opened",
  circuit_open: "Held: circuit open",
  throttled: "Held: receiver asked for a pause (429)",
  order: "Held: an earlier delivery is first",
  concurrency: "Held: its attempts in flight are at their limit",
  rate_limit: "Held: its rate limit",
};

/**
 * @param {{reason: string, until: ?string, detail?: string, behind?: string, order_key?: string}} held
 * @param {number} now milliseconds
 */
export function held({ reason, until, detail, behind, order_key: key }, now) {
  if (reason === "circuit_open" && detail) return "Held: circuit open, a try is under way";
  if (detail) return `Held: ${detail}`;
  const words = HELD[reason] ?? `Held: ${reason}`;
  if (reason === "silence" && until && Date.parse(until) > now) return `${words} until ${at(until)}`;
  const which = behind ? ` (delivery ${behind}${key ? `, order key “${key}”` : ""})` : "";
  return until && Date.parse(until) > now ? `${words}${which}, next try ${ago(until, now)}` : `${words}${which}`;
}
