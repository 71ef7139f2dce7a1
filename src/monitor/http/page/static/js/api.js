/** The HTTP API: one function per thing the page does. Every failure is a {@link Problem}. */

import { memberText } from "./json-text.js";
import { queryText } from "./query-text.js";
import { ROOT } from "./root.js";
import { caller, endSession, session, sessionReady } from "./session.js";
import { safeValue } from "./text.js";

const TIMEOUT_MS = 20_000;

/**
 * What went wrong, ready to be shown: the members of an RFC 9457 problem. `status` is 0 when nobody answered, and -1 for
 * a defect of the page.
 */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {{type?: string|null, title?: string, detail?: string, errors?: {pointer: string, detail: string}[], request_id?: string}}
   *   [members]
   */
  constructor(status, { type = null, title, detail, errors = [], request_id: requestId } = {}) {
    super(detail || title || "The request failed.");
    this.status = status;
    this.type = type;
    this.title = title ?? "The request failed";
    this.errors = errors;
    this.requestId = requestId;
  }
}

/** @returns {Problem} *error*; what is none, a defect of the page, is written to the console and made into one */
export function asProblem(error) {
  if (error instanceof Problem) return error;
  console.error(error);
  return new Problem(-1, { title: "The page failed", detail: String(error) });
}

/** @typedef {{query?: object, body?: any, headers?: object, signal?: AbortSignal}} Options */

/**
 * Waits while the session has ended, and repeats what was refused for it: a 401 has changed nothing.
 *
 * @param {Options} [options]
 * @returns {Promise<{data: any, text: string, etag: string|null}>}
 */
async function call(method, path, options = {}) {
  const who = caller();
  for (;;) {
    await sessionReady();
    options.signal?.throwIfAborted();
    if (!who || caller() !== who) throw new Problem(401, { title: "Signed out", detail: "Sign in to continue." });
    const { serial } = session.get();
    try {
      return await send(method, path, options);
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      // An answer to an older token says nothing about the one that there is now.
      if (session.get().serial === serial) endSession(reasonOf(problem));
    }
  }
}

/** A cookie that has run out is not sent any more: the server misses a token. */
const reasonOf = ({ type, message }) =>
  type === "urn:monitor:problem:missing_token" ? "This browser is no longer signed in." : message;

/** @type {(method: string, path: string, options: Options) => Promise<{data: any, text: string, etag: string|null}>} */
async function send(method, path, { query, body, headers = {}, signal }) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  /** @type {RequestInit & {headers: Record<string, string>}} */
  const init = {
    method,
    headers: { ...(method === "GET" ? {} : { "X-Monitor-Session": "1" }), ...headers },
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    credentials: "same-origin",
  };
  if (body !== undefined) {
    init.headers["Content-Type"] ??= "application/json";
    init.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  let response, text;
  try {
    response = await fetch(`${ROOT}api/v1/${path}${queryText(query)}`, init);
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { title: "No answer", detail: "The server does not answer." });
  }
  const data = readBody(text);
  if (response.ok) return { data, text, etag: response.headers.get("etag") };
  throw new Problem(response.status, data ?? {});
}

function readBody(text) {
  try {
    return text ? JSON.parse(text, shown) : null;
  } catch {
    return null;
  }
}

/** Payloads are other people's: keeps numbers that JavaScript would round as they were written, and texts harmless. */
function shown(_, value, context) {
  const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : safeValue(value);
}

const data = async (method, path, options) => (await call(method, path, options)).data;
const get = (path, query, signal) => data("GET", path, { query, signal });
const post = (path, body, headers) => data("POST", path, { body, headers });
const enc = encodeURIComponent;

export const api = {
  stats: (signal) => get("system/stats", null, signal),
  dashboard: (signal) => get("dashboard", null, signal),
  performance: (window, signal) => get("dashboard/performance", { window }, signal),
  healthRows: (query, signal) => get("dashboard/webhooks", query, signal),
  activity: (query, signal) => get("dashboard/activity", query, signal),
  audit: (query, signal) => get("audit-log", query, signal),
  anomalies: (query, signal) => get("dashboard/anomalies", query, signal),

  webhooks: (query, signal) => get("webhooks", query, signal),
  /** With its entity tag, on which an edit is based. */
  webhook: (id, signal) => call("GET", `webhooks/${enc(id)}`, { signal }),
  createWebhook: (spec, key) => post("webhooks", spec, { "Idempotency-Key": key }),
  changeWebhook: (id, patch, etag) =>
    data("PATCH", `webhooks/${enc(id)}`, {
      body: patch,
      headers: { "Content-Type": "application/merge-patch+json", ...(etag ? { "If-Match": etag } : {}) },
    }),
  deleteWebhook: (id) => data("DELETE", `webhooks/${enc(id)}`),
  rotateSecret: (id, overlap_s) => post(`webhooks/${enc(id)}/rotate-secret`, { overlap_s }),
  testWebhook: (id) => post(`webhooks/${enc(id)}/test`),
  pauseWebhook: (id) => post(`webhooks/${enc(id)}/pause`),
  sendNow: (id) => post(`webhooks/${enc(id)}/send-now`),
  resumeWebhook: (id) => post(`webhooks/${enc(id)}/resume`),
  replay: (id, spec) => post(`webhooks/${enc(id)}/replay`, spec),
  resendEvent: (id) => post(`events/${enc(id)}/resend`, {}),
  replayJob: (id, signal) => get(`replays/${enc(id)}`, null, signal),
  metrics: (id, query, signal) => get(`webhooks/${enc(id)}/metrics`, query, signal),
  uptime: (id, signal) => get(`webhooks/${enc(id)}/uptime`, null, signal),
  annotations: (id, query, signal) => get(`webhooks/${enc(id)}/annotations`, query, signal),
  attempt: (webhookId, id, signal) => get(`webhooks/${enc(webhookId)}/attempts/${enc(id)}`, null, signal),
  attempts: (id, query, signal) => get(`webhooks/${enc(id)}/attempts`, query, signal),

  postEvent: (body) => post("events", body),
  events: (query, signal) => get("events", query, signal),
  /** `payloadText` is the payload as it was posted. */
  event: async (id, signal) => {
    const { data: event, text } = await call("GET", `events/${enc(id)}`, { signal });
    return { ...event, payloadText: safeValue(memberText(text, "payload")) };
  },
  deliveries: (query, signal) => get("deliveries", query, signal),
  delivery: (id, signal) => get(`deliveries/${enc(id)}`, null, signal),
  retryDelivery: (id) => post(`deliveries/${enc(id)}/retry`),
  cancelDelivery: (id) => post(`deliveries/${enc(id)}/cancel`),

  bulkDeliveries: (body, key) => post("deliveries/bulk", body, key ? { "Idempotency-Key": key } : {}),

  job: (id, signal) => get(`jobs/${enc(id)}`, null, signal),
  jobs: (query, signal) => get("jobs", query, signal),
  cancelJob: (id) => post(`jobs/${enc(id)}/cancel`),

  alerts: (query, signal) => get("alerts", query, signal),
  alert: (id, signal) => get(`alerts/${enc(id)}`, null, signal),
  alertStats: (days, signal) => get("alerts/stats/summary", { days }, signal),
  acknowledge: (id, body) => post(`alerts/${enc(id)}/ack`, body),
  acknowledgeMany: (body) => post("alerts/ack", body),
  resolve: (id, body) => post(`alerts/${enc(id)}/resolve`, body),
  unacknowledge: (id) => post(`alerts/${enc(id)}/unack`, {}),
  comment: (id, body, key) => post(`alerts/${enc(id)}/comments`, body, { "Idempotency-Key": key }),

  destinations: (query, signal) => get("notifications/destinations", query, signal),
  coverage: (signal) => get("notifications/coverage", null, signal),
  sendSample: (id) => post(`notifications/destinations/${enc(id)}/test`),

  silences: (query, signal) => get("silences", query, signal),
  silence: (spec) => post("silences", spec),
  previewSilence: (spec) => post("silences/preview", spec),
  endOccurrence: (id) => post(`silences/${enc(id)}/end-occurrence`),
  endSilence: (id) => data("DELETE", `silences/${enc(id)}`),
};

/** Reads page after page, at most *cap* rows; calls *onPage* with all rows so far and whether more are to come. */
export async function readAll(readPage, { cap, signal, onPage }) {
  const rows = [];
  let cursor = null;
  do {
    const page = await readPage({ limit: 200, cursor }, signal);
    rows.push(...page.items);
    cursor = page.next_cursor;
    onPage?.([...rows], cursor !== null && rows.length < cap);
  } while (cursor !== null && rows.length < cap);
  return { rows, isWhole: cursor === null };
}
