/**
 * Who is signed in. The browser keeps the token in a cookie that no script can read, so all tabs and links share it.
 *
 * What a role may do is decided by the server; the page only leaves out what would be refused.
 */

import { ROOT } from "./root.js";
import { createStore } from "./store.js";
import { safeValue } from "./text.js";
import { problemOf, readClaims } from "./token.js";

const RANKS = { viewer: 1, operator: 2, admin: 3 };

/**
 * @typedef {import("./token.js").Claims} Claims
 * @typedef {{state: "asking"|"in"|"out", claims: Claims|null, endsAt: number, serial: number, ended: string|null,
 *   notice: string|null, offer: {token: string, claims: Claims}|null}} Session
 * @type {ReturnType<typeof createStore<Session>>}
 *   `endsAt` is in Unix milliseconds of this machine's clock. `serial` counts the tokens of this tab. `ended` says why
 *   the token is no longer accepted: the view stays, and requests wait for the next token. `offer` is the token of a
 *   link that was opened in a browser with another session, until that is kept or replaced.
 */
export const session = createStore({
  state: "asking",
  claims: null,
  endsAt: Infinity,
  serial: 0,
  ended: null,
  notice: null,
  offer: null,
});

const tabs = new BroadcastChannel("monitor.session");
tabs.onmessage = ({ data }) => (data === "out" ? leave("Signed out in another tab.") : refresh());

/**
 * Finds out who is signed in; a link's token signs in where nobody is.
 *
 * @param {string|null} handed the token of the link, of `takeFromAddress`
 * @returns {Promise<string|null>} see {@link offer}
 */
export async function restore(handed) {
  const answer = await ask("GET");
  if (answer.claims) {
    enter(answer);
    return handed && offer(handed);
  }
  if (handed) await signIn(handed);
  else leave(answer.status === 401 ? null : `${answer.problem} Reload the page to try again.`);
  return null;
}

/**
 * Signs in with the token of a link where nobody is signed in. A session is never replaced unasked: a link can come from
 * anywhere, and what is done next would be done as somebody else.
 *
 * @returns {Promise<string|null>} why it cannot replace the session; where there is none, the sign-in form says it
 */
export async function offer(token) {
  const own = session.get().claims;
  if (!own) {
    await signIn(token);
    return null;
  }
  const claims = readClaims(token);
  const problem = problemOf(claims);
  const isSame = claims && ["sub", "role", "exp"].every((name) => claims[name] === own[name]);
  if (!problem && !isSame) session.set({ offer: { token, claims } });
  return problem;
}

export const keepSession = () => session.set({ offer: null });

/** @returns {Promise<string|null>} why the token cannot be used; a session that there is stays as it is */
export async function signIn(text) {
  const token = text.trim();
  let problem = problemOf(readClaims(token));
  if (!problem) {
    const answer = await ask("POST", token);
    problem = answer.problem;
    if (answer.claims) {
      enter(answer);
      tabs.postMessage("in");
    }
  }
  if (problem && !session.get().claims) session.set({ state: "out", notice: problem });
  return problem;
}

/** Signs out in all tabs. */
export async function signOut() {
  const { problem, status } = await ask("DELETE");
  leave(status === 204 ? null : `${problem} This browser may still be signed in: reload and sign out again.`);
  tabs.postMessage("out");
}

/** The token is no longer accepted. The view stays as it is, and so does what was typed. */
export function endSession(reason) {
  const { claims, ended } = session.get();
  if (claims && !ended) session.set({ ended: reason });
}

/** @returns {Promise<void>} once requests can be made, or nobody is signed in any more */
export function sessionReady() {
  if (!session.get().ended) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = session.subscribe(({ ended }) => {
      if (ended) return;
      stop();
      resolve();
    });
  });
}

/** @returns {string|null} whose requests these are: one that waited is not made as somebody else */
export function caller({ claims } = session.get()) {
  return claims && `${claims.role} ${claims.sub}`;
}

/** Whether the signed-in role may do what *role* may do; used to leave out what would be refused. */
export function may(role) {
  const own = session.get().claims?.role;
  return (RANKS[own] ?? 0) >= RANKS[role];
}

function enter({ claims, endsAt }) {
  session.set(({ serial }) => ({
    state: "in",
    claims,
    endsAt,
    serial: serial + 1,
    ended: null,
    notice: null,
    offer: null,
  }));
}

function leave(notice) {
  session.set({ state: "out", claims: null, endsAt: Infinity, ended: null, notice, offer: null });
}

/** Another tab has signed in. */
async function refresh() {
  const answer = await ask("GET");
  if (answer.claims) enter(answer);
}

/** @returns {Promise<{status: number, claims: Claims|null, endsAt: number, problem: string|null}>} */
async function ask(method, token = null) {
  const headers = { "X-Monitor-Session": "1", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(`${ROOT}api/v1/session`, { method, headers, credentials: "same-origin", cache: "no-store" });
  } catch {
    return { status: 0, claims: null, endsAt: Infinity, problem: "The server does not answer." };
  }
  const body = await response.text().then((text) => JSON.parse(text, (_, value) => safeValue(value))).catch(() => null);
  const exp = Date.parse(body?.expires_at) / 1000;
  if (!response.ok || Number.isNaN(exp)) {
    return { status: response.status, claims: null, endsAt: Infinity, problem: body?.detail ?? "The token was refused." };
  }
  // This machine's clock may be wrong; how long the token lives by the server's is not.
  const serverNow = Date.parse(response.headers.get("date") ?? "") || Date.now();
  const claims = { sub: body.subject, role: body.role, exp };
  return { status: response.status, claims, endsAt: Date.now() + exp * 1000 - serverNow, problem: null };
}
