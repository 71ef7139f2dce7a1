/** Queries of addresses, of the page and of the API. */

/**
 * @param {object|null|undefined} query
 * @returns {string} with its question mark; members that are null, undefined or empty are left out
 */
export function queryText(query) {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}
