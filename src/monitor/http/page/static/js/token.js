/** What a token says of itself, which nobody has verified; for display, and to refuse early what the server would. */

import { safeValue } from "./text.js";

const ROLES = ["viewer", "operator", "admin"];
const B64TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** @typedef {{sub: string, role: string, exp: number}} Claims */

/**
 * @param {string} fragment what the address shows in its place
 * @returns {string|null} the token of a link such as `monitor up` prints, no longer in the address or the history
 */
export function takeFromAddress(fragment) {
  const match = /^#token=([A-Za-z0-9._~+/-]+=*)/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, "", `${location.pathname}${fragment}`);
  return match[1];
}

/** @returns {string|null} why the page cannot use a token with *claims* */
export function problemOf(claims) {
  if (!claims) return "This is not a token. It has three parts with dots between them.";
  if (claims.role === "publisher") {
    return "This token can only post events and report attempts. The dashboard needs the role viewer or above.";
  }
  if (!ROLES.includes(claims.role)) return "This token has no role that the dashboard supports.";
  if (claims.exp * 1000 < Date.now()) {
    return "This token has expired. Create a new one with: monitor token --role viewer";
  }
  return null;
}

/** @returns {Claims|null} `null` if *token* is none */
export function readClaims(token) {
  if (!B64TOKEN.test(token)) return null;
  try {
    const [, payload] = token.split(".");
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const { sub, role, exp } = JSON.parse(new TextDecoder().decode(bytes), (_, value) => safeValue(value));
    return { sub: String(sub), role: String(role), exp: Number(exp) };
  } catch {
    return null;
  }
}
