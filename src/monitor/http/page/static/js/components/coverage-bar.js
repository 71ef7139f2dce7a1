/** A warning while no destination gets critical alerts. */

import { api } from "../api.js";
import { useLoad } from "../hooks.js";
import { html } from "../html.js";
import { Icon } from "./icons.js";

const REFRESH_MS = 60_000;

/** @param {{at?: number, isHere?: boolean}} props *at* changes when a destination was added in the view, which *isHere* */
export function CoverageBar({ at = 0, isHere = false }) {
  const load = useLoad((signal) => api.coverage(signal), [at], { everyMs: REFRESH_MS });
  if (load.data === null || load.data.critical) return null;
  return html`
    <p class="notice warn coverage" role="status">
      <${Icon} name="warning" /> Nobody is told of critical alerts.${" "}
      ${isHere ? "Add a destination." : html`<a href="#/notifications">Add a destination.</a>`}
    </p>
  `;
}
