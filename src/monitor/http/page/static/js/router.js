/** Addresses of views: `#/webhooks/<id>?range=24h`. The fragment never reaches the server. */

import { createStore } from "./store.js";

/** @type {[string, RegExp][]} */
const ROUTES = [
  ["overview", /^\/?$/],
  ["webhooks", /^\/webhooks$/],
  ["webhook-new", /^\/webhooks\/new$/],
  ["webhook", /^\/webhooks\/([\w-]+)$/],
  ["webhook-edit", /^\/webhooks\/([\w-]+)\/edit$/],
  ["alerts", /^\/alerts$/],
  ["alert", /^\/alerts\/([\w-]+)$/],
  ["silences", /^\/silences$/],
  ["silence-new", /^\/silences\/new$/],
  ["events", /^\/events$/],
  ["event", /^\/events\/([\w-]+)$/],
  ["activity", /^\/activity$/],
  ["jobs", /^\/jobs$/],
];

export const route = createStore(parse(location.hash));

/** @returns {{name: string, id: string|null, query: Record<string, string>}} */
function parse(hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?");
  const query = Object.fromEntries(new URLSearchParams(search));
  for (const [name, pattern] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return { name, id: match[1] ?? null, query };
  }
  return { name: "lost", id: null, query };
}

export function startRouter() {
  window.addEventListener("hashchange", () => route.set(parse(location.hash)));
  route.set(parse(location.hash));
}

/** Writes an address for *path*, its members of *query* that are not empty behind it. */
export function href(path, query = {}) {
  const pairs = Object.entries(query).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  return `#${path}${pairs.length ? `?${new URLSearchParams(pairs)}` : ""}`;
}

export function go(path, query) {
  location.hash = href(path, query);
}

/** Changes the query of the present view without a step in the history. */
export function setQuery(patch) {
  const path = location.hash.replace(/^#/, "").split("?")[0] || "/";
  history.replaceState(null, "", href(path, { ...route.get().query, ...patch }));
  route.set(parse(location.hash));
}
