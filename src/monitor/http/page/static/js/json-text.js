/** JSON as it was written: what parsing loses, such as the notation of numbers. */

export const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** @returns {string|null} the text of the member *name* of the object that *text* is; null if it has none */
export function memberText(text, name) {
  const key = JSON.stringify(name);
  let [depth, start, before] = [0, null, ""];
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (token === "}" || token === "]") depth -= 1;
    const isOver = depth === 0 || (depth === 1 && token === ",");
    if (start !== null && isOver) return text.slice(start, index);
    if (token === "{" || token === "[") depth += 1;
    if (depth === 1 && token === ":" && before === key) start = index + 1;
    before = token;
  }
  return null;
}
