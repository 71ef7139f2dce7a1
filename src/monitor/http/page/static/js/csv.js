/** Rows as files: CSV (RFC 4180) and newline-delimited JSON. */

/** A cell that begins so is a formula in spreadsheets, and what it does is other people's choice. */
const FORMULA = /^[=+\-@\t\r\n]/;
const QUOTED = /[",\r\n]/;

/** @param {[string, (row: object) => any][]} columns name, and value of a row */
export function csv(rows, columns) {
  const lines = [columns.map(([name]) => cell(name)), ...rows.map((row) => columns.map(([, value]) => cell(value(row))))];
  return lines.map((cells) => `${cells.join(",")}\r\n`).join("");
}

function cell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const safe = typeof value !== "number" && FORMULA.test(text) ? `'${text}` : text;
  return QUOTED.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const ndjson = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Hands *text* to the person as a file. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // Later: the download may begin after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
