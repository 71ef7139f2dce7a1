/** Numbers and times as people read them. Nothing known reads as a dash. */

import { timeZone } from "./zone.js";

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const utcDays = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

/** Formats of Intl by zone: making one takes longer than using it. */
const formats = new Map();

function written(time, name) {
  const key = `${name} ${timeZone()}`;
  if (!formats.has(key))
    formats.set(key, new Intl.DateTimeFormat("en-GB", { ...FORMATS[name], timeZone: timeZone() }));
  return formats.get(key).format(new Date(time));
}

const FORMATS = {
  day: { day: "numeric", month: "short" },
  minute: { hour: "2-digit", minute: "2-digit" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  dayAndMinute: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  dayAndSecond: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" },
  exact: { dateStyle: "medium", timeStyle: "long" },
};

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

/** 1536 → 1.5 KiB. */
export function bytes(value) {
  if (isNone(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  const scaled = value / 1_024 ** step;
  return `${scaled.toFixed(step && scaled < 100 ? 1 : 0)} ${units[step]}`;
}

/** @param {number} now Unix milliseconds */
export function ago(time, now) {
  if (!time) return NONE;
  const seconds = (now - Date.parse(time)) / 1_000;
  if (seconds < -1) return ahead(-seconds);
  return seconds < 5 ? "just now" : `${briefly(seconds)} ago`;
}

/** What is still to come is rounded up, so that two hours never read as one. */
export function ahead(seconds) {
  const unit = seconds > 86_400 ? 3_600 : seconds > 60 ? 60 : 1;
  return `in ${duration(Math.ceil(seconds / unit) * unit)}`;
}

function briefly(seconds) {
  const [name, size] = UNITS.find(([, unit]) => seconds >= unit) ?? ["s", 1];
  return `${Math.floor(seconds / size)} ${name}`;
}

/** 30 Nov, 23:04 */
export const at = (time) => (time ? written(time, "dayAndMinute") : NONE);
/** 23:04:34, with the date if that is not today's. */
export function clock(time) {
  if (!time) return NONE;
  return written(time, "day") === written(Date.now(), "day") ? written(time, "second") : written(time, "dayAndSecond");
}
/** 23:04:34 */
export const second = (time) => written(time, "second");
/** 23:04 */
export const minute = (time) => written(time, "minute");
/** 30 Nov */
export const day = (time) => written(time, "day");
/** Sun 29 Nov: of the day that a time begins in UTC, whatever the zone of times. */
export const utcDay = (time) => utcDays.format(new Date(time));
/** 30 Nov 2026, 23:04:34 UTC */
export const precisely = (time) => (time ? written(time, "exact") : "");
/** 30 Nov, 23:04, 3 min ago: of a line in a list; its `title` says {@link precisely}. */
export const atAndAge = (time, now) => (time ? `${at(time)}, ${ago(time, now)}` : NONE);
/** 23:04:34, 3 min ago */
export const clockAndAge = (time, now) => (time ? `${clock(time)}, ${ago(time, now)}` : NONE);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** The `YYYY-MM-DDTHH:MM` that a datetime field takes, in the zone of times. */
export function fieldTime(date) {
  const offsetMs = timeZone() === "UTC" ? 0 : date.getTimezoneOffset() * 60_000;
  return new Date(date.getTime() - offsetMs).toISOString().slice(0, 16);
}

/** The time that a datetime field holds; the other way of {@link fieldTime}. */
export const timeOfField = (text) => new Date(timeZone() === "UTC" ? `${text}Z` : text);
