/** A silence as a form has it, as the API takes it, and its repetition in words. */

import { capital, timeOfField } from "./format.js";

export const UNTIL = "until";
export const WEEKDAYS = [
  ["MO", "Monday"],
  ["TU", "Tuesday"],
  ["WE", "Wednesday"],
  ["TH", "Thursday"],
  ["FR", "Friday"],
  ["SA", "Saturday"],
  ["SU", "Sunday"],
];
export const REPEATS = [
  ["", "does not repeat"],
  ["daily", "every day"],
  ["weekdays", "Monday to Friday"],
  ["weekly", "every week, on days"],
  ["monthly", "every month"],
  ["custom", "by a rule (RFC 5545)"],
];
const WORK_DAYS = "MO,TU,WE,TH,FR";
const UNITS = { DAILY: "day", WEEKLY: "week", MONTHLY: "month", YEARLY: "year" };

/** @returns {string} the rule of a form, empty if the silence does not repeat */
export function ruleOf({ repeat, days, rule }) {
  switch (repeat) {
    case "daily":
      return "FREQ=DAILY";
    case "weekdays":
      return `FREQ=WEEKLY;BYDAY=${WORK_DAYS}`;
    case "weekly":
      return days.length ? `FREQ=WEEKLY;BYDAY=${days.join(",")}` : "FREQ=WEEKLY";
    case "monthly":
      return "FREQ=MONTHLY";
    case "custom":
      return rule.trim().replace(/^RRULE:/i, "");
    default:
      return "";
  }
}

/** A field that was emptied is no time: the server says what is wrong with the past. */
const moment = (text) => new Date(timeOfField(text).getTime() || 0).toISOString();

/** @returns {object} the body of a request */
export function specOf(form) {
  const spec = { reason: form.reason.trim() || "preview" };
  const rule = ruleOf(form);
  if (form.begin === "later") spec.starts_at = moment(form.starts);
  if (form.length === UNTIL && !form.repeat) spec.ends_at = moment(form.until);
  else spec.duration_s = Number(form.length === UNTIL ? 3600 : form.length);
  if (form.repeat) spec.recurrence = { rrule: rule, timezone: form.zone.trim() };
  if (form.repeat && form.last) spec.ends_at = moment(form.last);
  if (form.hold && (form.webhook || form.label.trim())) spec.hold_deliveries = true;
  if (form.webhook) spec.webhook_id = form.webhook;
  if (form.label.trim()) spec.label = form.label.trim();
  if (form.kind) spec.kind = form.kind;
  return spec;
}

const NTH = { 1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", "-1": "last" };

function weekday(text) {
  const [, number, name] = /^([+-]?\d+)?([A-Z]{2})$/.exec(text) ?? [];
  const full = WEEKDAYS.find(([of]) => of === name)?.[1];
  if (!full) return null;
  if (!number) return full;
  const nth = NTH[Number(number)];
  return nth ? `the ${nth} ${full}` : null;
}

const listed = (words) => words.join(", ").replace(/, ([^,]*)$/, " and $1");

/** @returns {string} "Every week on Tuesday and Thursday, Europe/Berlin"; the rule itself where words would be too many */
export function inWords({ rrule, timezone }) {
  const parts = Object.fromEntries(rrule.toUpperCase().split(";").map((part) => part.split("=")));
  const { FREQ: freq, INTERVAL: interval = "1", BYDAY: byDay, BYMONTHDAY: monthDays, COUNT: times, ...rest } = parts;
  const days = byDay?.split(",").map(weekday) ?? [];
  if (!UNITS[freq] || Object.keys(rest).length || days.includes(null)) return `${rrule}, ${timezone}`;
  const every = interval === "1" ? `every ${UNITS[freq]}` : `every ${interval} ${UNITS[freq]}s`;
  const on = [
    days.length && `on ${byDay === WORK_DAYS ? "Monday to Friday" : listed(days)}`,
    monthDays && `on day ${listed(monthDays.split(","))}`,
    times && `${times} times`,
  ];
  return `${capital([every, ...on.filter(Boolean)].join(" "))}, ${timezone}`;
}
