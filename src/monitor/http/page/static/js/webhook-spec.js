/** Between what a form of a webhook holds, mostly text, and what the API takes. */

import { PRESETS, delaysOf, typed } from "./retry-schedule.js";

/** How the API shows the value of a header that it keeps. */
const MASK = "***";

export const BLANK = {
  name: "",
  url: "",
  description: "",
  eventTypes: "*",
  labels: [],
  headers: [],
  enabled: true,
  reenable: "never",
  timeout: "15",
  concurrency: "10",
  perSecond: "",
  burst: "",
  schedule: typed(PRESETS[0][2]),
  ordered: "false",
  skipAfter: "",
  signature: "v1",
  bodyFormat: "standard",
  reminders: "",
  secret: "",
};

/** @typedef {{name: string, value: string, isStored?: boolean}} Pair `isStored`: the API keeps its value */

export function fromWebhook(webhook) {
  return {
    name: webhook.name,
    url: webhook.url,
    description: webhook.description,
    eventTypes: webhook.event_types.join(" "),
    labels: Object.entries(webhook.labels).map(([name, value]) => ({ name, value })),
    headers: Object.keys(webhook.headers).map((name) => ({ name, value: "", isStored: true })),
    enabled: webhook.enabled,
    reenable: webhook.reenable,
    timeout: String(webhook.timeout_s),
    concurrency: String(webhook.max_concurrency),
    perSecond: webhook.rate_limit ? String(webhook.rate_limit.per_s) : "",
    burst: webhook.rate_limit ? String(webhook.rate_limit.burst) : "",
    schedule: typed(webhook.retry.schedule_s),
    ordered: String(webhook.ordered),
    skipAfter: webhook.skip_after === null ? "" : String(webhook.skip_after),
    signature: webhook.signature,
    bodyFormat: webhook.body_format,
    reminders: typedReminders(webhook.reminders),
    secret: "",
  };
}

export const wordsOf = (text) => text.split(/[\s,]+/).filter(Boolean);

/**
 * @param {object} form without problems of {@link problemsOf}
 * @param {object} [before] the webhook that is edited: what it has and the form has not is patched away with null
 */
export function toSpec(form, before) {
  return {
    name: form.name.trim(),
    url: form.url.trim(),
    description: form.description,
    event_types: wordsOf(form.eventTypes),
    labels: withNulls(object(form.labels), before?.labels),
    headers: withNulls(object(form.headers), before?.headers),
    enabled: form.enabled,
    reenable: form.reenable,
    timeout_s: Number(form.timeout),
    max_concurrency: Number(form.concurrency),
    rate_limit: form.perSecond ? { per_s: Number(form.perSecond), burst: Number(form.burst || 1) } : null,
    retry: { schedule_s: delaysOf(form.schedule) },
    ordered: form.ordered === "key" ? "key" : form.ordered === "true",
    skip_after: form.ordered !== "false" && form.skipAfter ? Number(form.skipAfter) : null,
    signature: form.signature,
    body_format: form.bodyFormat,
    reminders: remindersOf(form.reminders),
    ...(before || !form.secret.trim() ? {} : { secret: form.secret.trim() }),
  };
}

/**
 * @returns {{pointer: string, detail: string}[]} what the form can tell by itself; the server has the last word, in the
 *   same form
 */
export function problemsOf(form) {
  const found = [];
  const say = (pointer, detail) => found.push({ pointer, detail });
  if (!form.name.trim()) say("/name", "Give it a name.");
  if (!form.url.trim()) say("/url", "Enter the URL that deliveries are sent to.");
  else if (!/^https?:\/\/[^\s/]+/i.test(form.url.trim())) say("/url", "Enter a URL that begins with https:// or http://.");
  if (!wordsOf(form.eventTypes).length) say("/event_types", "Enter at least one event type, or * for all.");
  number(form.timeout, 1, 30) || say("/timeout_s", "Enter 1 to 30 seconds.");
  whole(form.concurrency, 1, 1_000) || say("/max_concurrency", "Enter a whole number from 1 to 1,000.");
  if (form.perSecond && !number(form.perSecond, 0.001, 100_000)) say("/rate_limit", "Enter 0.001 to 100,000.");
  if (form.burst && !whole(form.burst, 1, 100_000)) say("/burst", "Enter a whole number from 1 to 100,000.");
  if (!delaysOf(form.schedule)) say("/retry", "Enter delays separated by spaces, such as 0 5s 5m 2h.");
  if (form.skipAfter && !whole(form.skipAfter, 1, 50)) say("/skip_after", "Enter a whole number from 1 to 50.");
  if (!areReminders(remindersOf(form.reminders))) say("/reminders", "Enter up to 10 times, such as 15m 1h 4h, or never.");
  named(form.labels, "/labels", say);
  named(form.headers, "/headers", say);
  return found;
}

const NEVER = "never";

/** @returns {string} *reminders*, null for those that the API chooses, as a person types them: `15m 1h 4h` */
const typedReminders = (reminders) => (reminders === null ? "" : reminders.length ? typed(reminders) : NEVER);

/** @returns {number[]|null|undefined} seconds, null for what the API chooses; undefined if *text* is neither */
function remindersOf(text) {
  const trimmed = text.trim().toLowerCase();
  return trimmed === "" ? null : trimmed === NEVER ? [] : (delaysOf(trimmed) ?? undefined);
}

/** Whole five minutes within a day, ascending. */
const areReminders = (steps) =>
  steps === null || (steps?.length <= 10 && steps.every((step, i) =>
    step >= 300 && step <= 86_400 && step % 300 === 0 && (i === 0 || step > steps[i - 1])));

function named(rows, pointer, say) {
  const names = rows.filter((row) => !isBlank(row)).map((row) => row.name.trim());
  if (names.some((name) => !name)) say(pointer, "Give each row a name, or remove it.");
  if (new Set(names).size < names.length) say(pointer, "Use each name once.");
}

const isBlank = (row) => !row.name.trim() && !row.value.trim();
const number = (text, least, most) => text.trim() !== "" && Number(text) >= least && Number(text) <= most;
const whole = (text, least, most) => number(text, least, most) && Number.isInteger(Number(text));

/** @param {Pair[]} rows */
function object(rows) {
  const value = (row) => (row.isStored && !row.value ? MASK : row.value.trim());
  return Object.fromEntries(rows.filter((row) => !isBlank(row)).map((row) => [row.name.trim(), value(row)]));
}

function withNulls(after, before = {}) {
  return { ...Object.fromEntries(Object.keys(before).map((name) => [name, null])), ...after };
}
