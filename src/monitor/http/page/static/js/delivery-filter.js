/** The filter of the list of deliveries: from the address to the API, and to words. */

import { spanOf } from "./components/time-range.js";
import { at } from "./format.js";
import { kindOfError } from "./verdict.js";

/** Failed ones of the last day: what somebody comes for. */
const STATE = "failed";
const RANGE = "24h";

/** @param {{state?: string}} query of the address */
export const stateOf = ({ state }) => state || STATE;
/** @param {{range?: string}} query of the address */
export const rangeNameOf = ({ range }) => range || RANGE;

/**
 * @param {Record<string, string>} query of the address
 * @returns {Record<string, string>} conditions of `GET /deliveries` and of bulk work, those that are empty left out
 */
export function filterOf(query) {
  const state = stateOf(query);
  const filter = {
    state: state === "any" ? "" : state,
    webhook_id: query.webhook,
    error: query.error,
    event_type: query.type,
    label: query.label,
    event_id: query.event,
    id: query.id,
    // What is named by its id is found however old it is.
    ...(query.event || query.id ? {} : spanOf(query, RANGE)),
  };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value));
}

const SPANS = { "1h": "in the last hour", "24h": "in the last 24 hours", "7d": "in the last 7 days", all: "" };

/** Which deliveries *query* chooses, as a sentence. */
export function saidOf(query, name) {
  const state = stateOf(query);
  const parts = [
    state === "any" ? "Deliveries" : `${state[0].toUpperCase()}${state.slice(1)} deliveries`,
    query.type && `of ${query.type}`,
    query.webhook && `to ${name ?? "one webhook"}`,
    query.label && `to webhooks with ${query.label}`,
    query.error && `with the error “${kindOfError(query.error)}”`,
    query.event && `of event ${query.event}`,
    query.id && `with the id ${query.id}`,
    !query.event && !query.id && spanText(query),
  ];
  return `${parts.filter(Boolean).join(" ")}.`;
}

function spanText(query) {
  const { from, to } = query;
  if (!from && !to) return SPANS[rangeNameOf(query)] && `accepted ${SPANS[rangeNameOf(query)]}`;
  return ["accepted", from && `from ${at(from)}`, to && `until ${at(to)}`].filter(Boolean).join(" ");
}
