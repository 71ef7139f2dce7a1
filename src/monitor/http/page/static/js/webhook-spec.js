/** Between what a form holds, text throughout, and what the API takes. */

const SCHEDULE = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

export const BLANK = {
  name: "",
  url: "",
  description: "",
  eventTypes: "*",
  labels: "",
  headers: "",
  enabled: true,
  reenable: "never",
  timeout: "15",
  concurrency: "10",
  perSecond: "",
  burst: "",
  schedule: SCHEDULE.join(" "),
  ordered: "false",
  skipAfter: "",
  signature: "v1",
  bodyFormat: "standard",
};

export function fromWebhook(webhook) {
  return {
    name: webhook.name,
    url: webhook.url,
    description: webhook.description,
    eventTypes: webhook.event_types.join(" "),
    labels: lines(webhook.labels, "="),
    headers: lines(webhook.headers, ": "),
    enabled: webhook.enabled,
    reenable: webhook.reenable,
    timeout: String(webhook.timeout_s),
    concurrency: String(webhook.max_concurrency),
    perSecond: webhook.rate_limit ? String(webhook.rate_limit.per_s) : "",
    burst: webhook.rate_limit ? String(webhook.rate_limit.burst) : "",
    schedule: webhook.retry.schedule_s.join(" "),
    ordered: String(webhook.ordered),
    skipAfter: webhook.skip_after === null ? "" : String(webhook.skip_after),
    signature: webhook.signature,
    bodyFormat: webhook.body_format,
  };
}

/**
 * @param {object} form
 * @param {object} [before] the webhook that is edited: what it has and the form has not is patched away with null
 * @throws {Error} with words for the person, when a line cannot be read
 */
export function toSpec(form, before) {
  return {
    name: form.name.trim(),
    url: form.url.trim(),
    description: form.description,
    event_types: form.eventTypes.split(/[\s,]+/).filter(Boolean),
    labels: withNulls(pairs(form.labels, "=", "Labels"), before?.labels),
    headers: withNulls(pairs(form.headers, ":", "Headers"), before?.headers),
    enabled: form.enabled,
    reenable: form.reenable,
    timeout_s: Number(form.timeout),
    max_concurrency: Number(form.concurrency),
    rate_limit: form.perSecond ? { per_s: Number(form.perSecond), burst: Number(form.burst || 1) } : null,
    retry: { schedule_s: numbers(form.schedule) },
    ordered: form.ordered === "key" ? "key" : form.ordered === "true",
    skip_after: form.skipAfter ? Number(form.skipAfter) : null,
    signature: form.signature,
    body_format: form.bodyFormat,
  };
}

function numbers(text) {
  const found = text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(Number);
  if (found.some(Number.isNaN)) throw new Error("Delays: enter seconds, separated by spaces.");
  return found;
}

function pairs(text, separator, what) {
  const read = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      const place = line.indexOf(separator);
      if (place < 1) throw new Error(`${what}: “${line}” has no “${separator}” between name and value.`);
      return [line.slice(0, place).trim(), line.slice(place + 1).trim()];
    });
  return Object.fromEntries(read);
}

function withNulls(after, before = {}) {
  return { ...Object.fromEntries(Object.keys(before).map((name) => [name, null])), ...after };
}

function lines(object, separator) {
  return Object.entries(object)
    .map(([name, value]) => `${name}${separator}${value}`)
    .join("\n");
}
