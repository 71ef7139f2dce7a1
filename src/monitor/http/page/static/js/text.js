/** Texts of other people, before they are shown. */

/** Control characters but tab and line breaks, and those that reorder what stands around them (UAX #9). */
const UNSAFE =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const safe = (text) => text.replace(UNSAFE, "\ufffd");

/** For a reviver of `JSON.parse`: *value* without such characters, in a text or in the names of an object. */
export function safeValue(value) {
  if (typeof value === "string") return safe(value);
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const names = Object.keys(value);
  return names.every((name) => safe(name) === name)
    ? value
    : Object.fromEntries(names.map((name) => [safe(name), value[name]]));
}
