/** An exchange as a command for a POSIX shell. */

import { isSafe } from "./text.js";

const MASK = "***";
/** What curl writes by itself. */
const OF_CURL = new Set(["host", "content-length"]);
/** Linux takes 128 KiB in one argument; what a shell does by itself, like `printf`, has no such limit. */
const ARGUMENT_CHARS = 30_000;

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * Sends the same bytes again. Secrets are not known here: `<NAME>` stands in their place.
 *
 * @param {{method: string, url: string, request_headers: {name: string, value: string}[]}} exchange
 * @param {string|null} body text whose UTF-8 is the body
 */
export function curlOf({ method, url, request_headers: fields }, body) {
  const headers = fields
    .filter(({ name }) => !OF_CURL.has(name.toLowerCase()))
    .map(({ name, value }) => (value === "" ? `${name};` : `${name}: ${value.replaceAll(MASK, `<${name}>`)}`));
  const parts = [
    `curl --http1.1 --globoff --path-as-is --request ${method} ${quoted(url.replaceAll(MASK, "<SECRET>"))}`,
    ...headers.map((header) => `--header ${quoted(header)}`),
    // For long bodies curl would ask before it sends.
    "--header 'Expect:'",
  ];
  if (body === null) return joined(parts);
  const isArgument = isSafe(body) && body.length <= ARGUMENT_CHARS && !body.startsWith("@");
  const command = joined([...parts, isArgument ? `--data-binary ${quoted(body)}` : "--data-binary @-"]);
  return isArgument ? command : `printf '%b' ${quoted(escaped(body))} | ${command}`;
}

const joined = (parts) => parts.join(" \\\n  ");

/** Escapes for `%b`: backslashes, and what a terminal could take for a command or show in another order. */
function escaped(text) {
  return Array.from(text.replaceAll("\\", "\\\\"), (char) => (isSafe(char) ? char : octal(char))).join("");
}

function octal(char) {
  return Array.from(new TextEncoder().encode(char), (byte) => `\\0${byte.toString(8).padStart(3, "0")}`).join("");
}
