/** Addresses of views: `#/webhooks/<id>?range=24h`. The fragment never reaches the server. */

import { queryText } from "./query-text.js";
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
  ["notifications", /^\/notifications$/],
  ["events", /^\/events$/],
  ["event", /^\/events\/([\w-]+)$/],
  ["deliveries", /^\/deliveries$/],
  ["activity", /^\/activity$/],
  ["jobs", /^\/jobs$/],
  ["system", /^\/system$/],
  ["audit", /^\/audit$/],
  ["more", /^\/more$/],
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

let shown = location.hash || "#/";
/** @type {((path: string) => boolean)|null} */
let guard = null;

/** @param {(left: object) => void} [onLeave] gets the route that is left, while its view is still shown */
export function startRouter(onLeave) {
  window.addEventListener("hashchange", () => {
    const wanted = location.hash;
    if (wanted !== shown && guard && !guard(wanted.replace(/^#/, ""))) history.go(stepBack());
    else {
      onLeave?.(route.get());
      show();
    }
  });
  show();
}

/** Place of the shown view among the entries of the history; each entry keeps its own. */
let place = 0;

/** @returns {number} steps from the entry that the browser is at to that of the shown view */
function stepBack() {
  const there = history.state?.place;
  return there === undefined ? -1 : place - there;
}

function show() {
  shown = location.hash || "#/";
  place = history.state?.place ?? place + 1;
  history.replaceState({ place }, "");
  route.set(parse(location.hash));
}

/** @returns {string} the fragment of the view that is shown */
export const address = () => shown;

/**
 * Asks *allows* before another view is shown, with its path; one that it refuses is not.
 *
 * @returns {() => void} ends it
 */
export function guardRoute(allows) {
  guard = allows;
  return () => {
    if (guard === allows) guard = null;
  };
}

/** Writes an address for *path*, its members of *query* that are not empty behind it. */
export function href(path, query = {}) {
  return `#${path}${queryText(query)}`;
}

export function go(path, query) {
  location.hash = href(path, query);
}

/** Goes somewhere in place of where one is, so that Back leads past it. */
export function replace(path, query) {
  history.replaceState(history.state, "", href(path, query));
  show();
}

/** Changes the query of the present view without a step in the history. */
export function setQuery(patch) {
  const path = location.hash.replace(/^#/, "").split("?")[0] || "/";
  replace(path, { ...route.get().query, ...patch });
}
