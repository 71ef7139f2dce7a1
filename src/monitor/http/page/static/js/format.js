/** Numbers and times as people read them. Nothing known reads as a dash. */

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const dayAndTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const timeOfDay = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

const isNone = (value) => value === null || value === undefined || Number.isNaN(value);

export const count = (value) => (isNone(value) ? NONE : whole.format(value));

/** 1,234 stays; 12,345 becomes 12.3k. */
export function short(value) {
  if (isNone(value)) return NONE;
  if (value < 10_000) return whole.format(value);
  return value < 1e6 ? `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)}k` : `${(value / 1e6).toFixed(1)}M`;
}

/** 0.98765 → 98.77 %: more places close to one, where they matter. */
export function percent(ratio) {
  if (isNone(ratio)) return NONE;
  const value = ratio * 100;
  if (value === 100 || value === 0) return `${value} %`;
  const places = value > 99.9 ? 3 : value > 99 ? 2 : 1;
  // Not rounded up to 100: that would say that nothing failed.
  return `${Math.min(Number(value.toFixed(places)), 99.999)} %`;
}

export function ms(value) {
  if (isNone(value)) return NONE;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1_000) return `${Math.round(value)} ms`;
  return value < 60_000 ? `${(value / 1_000).toFixed(value < 10_000 ? 2 : 1)} s` : duration(value / 1_000);
}

export function perSecond(value) {
  if (isNone(value)) return NONE;
  if (value === 0) return "0 /s";
  return value < 1 ? `${(value * 60).toFixed(1)} /min` : `${value.toFixed(value < 10 ? 2 : 0)} /s`;
}

/** @type {[string, number][]} name and seconds, the longest first */
const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** Two units at most: 90 → 1 min 30 s. */
export function duration(seconds) {
  if (isNone(seconds)) return NONE;
  if (seconds < 1) return "0 s";
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  const parts = [];
  let rest = Math.floor(seconds);
  for (const [name, size] of UNITS.slice(first, first + 2)) {
    if (Math.floor(rest / size)) parts.push(`${Math.floor(rest / size)} ${name}`);
    rest %= size;
  }
  return parts.join(" ");
}

/** @param {number} now Unix milliseconds */
export function ago(time, now) {
  if (!time) return NONE;
  const seconds = (now - Date.parse(time)) / 1_000;
  if (seconds < -1) return `in ${briefly(-seconds)}`;
  return seconds < 5 ? "just now" : `${briefly(seconds)} ago`;
}

function briefly(seconds) {
  const [name, size] = UNITS.find(([, unit]) => seconds >= unit) ?? ["s", 1];
  return `${Math.floor(seconds / size)} ${name}`;
}

export const at = (time) => (time ? dayAndTime.format(new Date(time)) : NONE);
export const clock = (time) => (time ? timeOfDay.format(new Date(time)) : NONE);
export const precisely = (time) => (time ? exact.format(new Date(time)) : "");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** The local `YYYY-MM-DDTHH:MM` that a datetime field takes. */
export function fieldTime(date) {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
