/** What an alert measured, then and now, in words. */

import { at, capital, count, duration, ms, percent, plural } from "./format.js";

const LEAST_PROBABILITY = 1e-5;

/** Cause → what is measured, how it reads, and the same of the figures of now. */
const MEASURES = {
  failures: { name: "Failed", text: percent, now: (now) => percent(now.attempts ? now.failures / now.attempts : null) },
  latency: { name: "Typical response", text: ms, now: (now) => ms(now.p50_ms) },
  latency_tail: { name: "Slow responses", text: percent, now: (now) => `p95 ${ms(now.p95_ms)}` },
  volume: { name: "Attempts", text: count, now: attemptsOf },
  no_data: { name: "Attempts", text: count, now: attemptsOf },
};

function attemptsOf(now) {
  return `${count(now.attempts)} in ${duration(now.window_s)}`;
}

/** @returns {{name: string, then: string, normal: string, now: string, note: string}|null} null if nothing was measured */
export function measured(cause, evidence, now) {
  const measure = MEASURES[cause];
  if (!measure || typeof evidence?.observed !== "number") return null;
  return {
    name: measure.name,
    then: measure.text(evidence.observed),
    normal: measure.text(evidence.expected),
    now: now ? measure.now(now) : "–",
    note: `${plural(evidence.n, "attempt")} in ${duration(evidence.window_s)}. ${probability(evidence.p_value)}`,
  };
}

/** A p-value for people: nobody reads 6.5e-27. */
export function probability(p) {
  const text = p < LEAST_PROBABILITY ? "< 0.001 %" : `${Number((p * 100).toPrecision(2))} %`;
  return `Probability if normal: ${text}`;
}

const WORDS = {
  failing_since: (value) => ["Failing since", at(value)],
  disabled_at: (value, cause) => [cause === "failing_for_days" ? "Will be disabled" : "Disabled", at(value)],
  events_kept_until: (value) => ["Events kept until", at(value)],
  quarantined: (value) => ["Quarantined", plural(value, "delivery", "deliveries")],
  expired: (value) => ["Not sent", plural(value, "delivery", "deliveries")],
  failing: (value) => ["Failing together", plural(value, "webhook")],
  tried: (value) => ["With attempts lately", plural(value, "webhook")],
};
/** Said by the title, or by the row of health. */
const SAID = new Set(["reason", "status", "since", "failure_probability", "reach"]);

/** @returns {[string, string][]} what else the evidence holds, without what the title says */
export function facts(cause, evidence) {
  return Object.entries(evidence ?? {})
    .filter(([name]) => !SAID.has(name))
    .map(([name, value]) => WORDS[name]?.(value, cause) ?? [capital(name.replaceAll("_", " ")), String(value)]);
}

/** @returns {string} what is measured now, where that is not what the title says; empty otherwise */
export function nowText({ title, conditions }) {
  const now = conditions?.[0]?.title ?? "";
  return now === title ? "" : now;
}

/** @returns {string} how severe it was, where it is less severe now; empty otherwise */
export function worstText({ severity, worst_severity: worst }) {
  return worst && worst !== severity ? `was ${worst}` : "";
}

/** @returns {string} how many destinations a change was told to */
export function toldText({ destinations, delivered, failed, replaced }) {
  if (destinations === 0) return "nobody subscribes";
  const told = `told ${count(delivered)} of ${count(destinations)}${failed ? `, ${count(failed)} failed` : ""}`;
  return `${told}${replaced ? `, ${count(replaced)} got a newer message instead` : ""}`;
}

/** The time of an alert for other views: a little before it was raised until a little after it ended, or now. */
export function timeOf(alert, beforeMs = 900_000) {
  const until = alert.resolved_at ? Date.parse(alert.resolved_at) + 60_000 : Date.now();
  return {
    from: new Date(Date.parse(alert.raised_at) - beforeMs).toISOString(),
    to: new Date(until).toISOString(),
  };
}
