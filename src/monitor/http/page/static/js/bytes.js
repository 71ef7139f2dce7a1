/** Bodies as bytes, and as text to read. */

import { TOKENS } from "./json-text.js";

/** @param {string} base64 @returns {Uint8Array<ArrayBuffer>} */
export const bytesOf = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

/** @returns {string} base64 of *bytes*, with its padding */
export const base64Of = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

/** @returns {string} *bytes* as UTF-8; what is none is replaced */
export const textOf = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** Returns JSON in lines, each name and value as it was written: 19.90 stays 19.90. Other texts are returned as they are. */
export function indented(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const tokens = text.match(TOKENS) ?? [];
  const out = [];
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  tokens.forEach((token, at) => {
    const isOpening = token === "{" || token === "[";
    const isClosing = token === "}" || token === "]";
    const isEmpty = isClosing && (tokens[at - 1] === "{" || tokens[at - 1] === "[");
    if (isClosing) depth -= 1;
    if (isClosing && !isEmpty) out.push(line());
    out.push(token);
    if (isOpening) depth += 1;
    if (token === "," || (isOpening && tokens[at + 1] !== "}" && tokens[at + 1] !== "]")) out.push(line());
    if (token === ":") out.push(" ");
  });
  return out.join("");
}
