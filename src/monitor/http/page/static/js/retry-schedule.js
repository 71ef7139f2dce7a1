/** Retry schedules: between what a person types, the seconds that the API takes, and words. */

import { duration } from "./format.js";

/** @type {[string, number][]} */
const UNITS = [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]];
/** @type {[string, number][]} */
const WORDS = [["days", 86_400 * 2], ["h", 3_600], ["min", 60], ["s", 1]];
const SECONDS = Object.fromEntries(UNITS);
const DELAY = /^(\d+(?:\.\d+)?)(d|h|m|min|s)?$/;
const SHOWN = 3;

/**
 * Name, its words, and delays in seconds; the first is that of the Standard Webhooks specification.
 *
 * @type {[string, string, number[]][]}
 */
export const PRESETS = [
  ["standard", "Standard", [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]],
  ["short", "Short", [0, 5, 30, 300, 1_800]],
  ["patient", "Patient", [0, 60, 600, 3_600, 21_600, 86_400, 86_400, 86_400, 86_400, 86_400, 86_400]],
  ["once", "No retries", [0]],
];

/** @returns {string} *delays* as a person types them: `0 5s 5m 2h` */
export function typed(delays) {
  return delays
    .map((delay) => {
      const [unit, size] = UNITS.find(([, seconds]) => delay >= seconds && delay % seconds === 0) ?? ["s", 1];
      return delay === 0 ? "0" : `${delay / size}${unit}`;
    })
    .join(" ");
}

/** @returns {number[]|null} seconds; `null` if *text* is no list of delays */
export function delaysOf(text) {
  const found = text.split(/[\s,]+/).filter(Boolean).map((part) => {
    const match = DELAY.exec(part);
    return match && Number(match[1]) * SECONDS[(match[2] ?? "s")[0]];
  });
  return found.length && found.every((delay) => delay !== null) ? found : null;
}

/** @returns {string} the name of the preset that *text* is, or "custom" */
export function presetOf(text) {
  const delays = delaysOf(text)?.join(" ");
  return PRESETS.find(([, , preset]) => preset.join(" ") === delays)?.[0] ?? "custom";
}

/** @returns {string} such as "10 attempts: at once, then after 5 s, 5 min, 30 min … over 3.1 days" */
export function inWords(delays) {
  const retries = delays.slice(1);
  if (!retries.length) return "1 attempt, no retries.";
  const first = retries.slice(0, SHOWN).map(duration).join(", ");
  const rest = retries.length > SHOWN ? " …" : "";
  return `${delays.length} attempts: at once, then after ${first}${rest} over ${total(retries)}.`;
}

/** One figure of the largest unit: 272,105 s are 3.1 days. */
function total(retries) {
  const seconds = retries.reduce((sum, delay) => sum + delay, 0);
  const [unit, size] = WORDS.find(([, least]) => seconds >= least) ?? ["s", 1];
  const value = unit === "days" ? seconds / 86_400 : seconds / size;
  return `${Math.floor(value * 10) / 10} ${unit}`;
}
