/**
 * Who is signed in. The token lives in this tab (sessionStorage) and goes out in a header, never in an address.
 *
 * Claims are read for display alone: what a role may do is decided by the server.
 */

import { createStore } from "./store.js";
import { safeValue } from "./text.js";

const KEY = "monitor.token";
const RANKS = { viewer: 1, operator: 2, admin: 3 };

/**
 * @typedef {{sub: string, role: string, exp: number}} Claims
 * @typedef {{token: string|null, claims: Claims|null, notice: string|null,
 *   offer: {token: string, claims: Claims}|null}} Session
 * @type {ReturnType<typeof createStore<Session>>}
 *   `offer` is the token of a link that was opened in a tab with another session, until that is kept or replaced.
 */
export const session = createStore({ token: null, claims: null, notice: null, offer: null });

/**
 * Takes `#token=…` out of the address at once, and what this tab remembers.
 *
 * @returns {string|null} see {@link offer}
 */
export function restore() {
  const handed = takeFromAddress();
  const kept = sessionStorage.getItem(KEY);
  if (kept && !(handed && problemOf(readClaims(kept)))) signIn(kept);
  return handed && offer(handed);
}

/**
 * Signs in with the token of a link where nobody is signed in. A session is never replaced unasked: a link can come
 * from anywhere, and what is done next would be done as somebody else.
 *
 * @returns {string|null} why the token cannot replace the session; where there is none, the sign-in form says it
 */
export function offer(token) {
  const own = session.get().token;
  if (!own) {
    signIn(token);
    return null;
  }
  const claims = readClaims(token);
  const problem = problemOf(claims);
  if (!problem && token !== own) session.set({ offer: { token, claims } });
  return problem;
}

export const keepSession = () => session.set({ offer: null });

/** @returns {string|null} the token of a link such as `monitor up` prints, no longer in the address or the history */
export function takeFromAddress() {
  const match = /^#token=([A-Za-z0-9._~+/-]+=*)/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, "", `${location.pathname}#/`);
  return match[1];
}

/** @returns {string|null} why the token cannot be used, as far as its text tells */
export function signIn(token) {
  const claims = readClaims(token.trim());
  const problem = problemOf(claims);
  if (problem) {
    session.set({ token: null, claims: null, notice: problem, offer: null });
    return problem;
  }
  sessionStorage.setItem(KEY, token.trim());
  session.set({ token: token.trim(), claims, notice: null, offer: null });
  return null;
}

/** @param {string|null} notice what the sign-in form says about it */
export function signOut(notice = null) {
  sessionStorage.removeItem(KEY);
  session.set({ token: null, claims: null, notice, offer: null });
}

/** Whether the signed-in role may do what *role* may do; used to leave out what would be refused. */
export function may(role) {
  const own = session.get().claims?.role;
  return (RANKS[own] ?? 0) >= RANKS[role];
}

function problemOf(claims) {
  if (!claims) return "This is not a token. It has three parts with dots between them.";
  if (claims.role === "publisher")
    return "This token can only post events and report attempts. The dashboard needs the role viewer or above.";
  if (!Object.hasOwn(RANKS, claims.role)) return "This token has no role that the dashboard supports.";
  if (claims.exp * 1000 < Date.now())
    return "This token has expired. Create a new one with: monitor token --role viewer";
  return null;
}

/** @returns {Claims|null} */
function readClaims(token) {
  try {
    const [, payload] = token.split(".");
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
      c.charCodeAt(0),
    );
    const { sub, role, exp } = JSON.parse(new TextDecoder().decode(bytes), (_, value) => safeValue(value));
    return { sub: String(sub), role: String(role), exp: Number(exp) };
  } catch {
    return null;
  }
}
