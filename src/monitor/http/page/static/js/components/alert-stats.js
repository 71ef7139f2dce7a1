/** How alerts went in the last month: how many, how fast people were. */

import { api } from "../api.js";
import { count, duration, plural } from "../format.js";
import { useLoad } from "../hooks.js";
import { html } from "../html.js";
import { Figure } from "./figure.js";

const DAYS = 30;

export function AlertStats() {
  const load = useLoad((signal) => api.alertStats(DAYS, signal), [], { everyMs: 60_000 });
  if (!load.data) return null;
  const {
    time_to_acknowledge: ack,
    time_to_resolve: resolve,
    oldest_pending_age_s: oldest,
    series,
  } = load.data;
  return html`
    <dl class="figures-row slim">
      <${Figure} name="Oldest pending" value=${oldest === null ? "none" : duration(oldest)} />
      <${Figure}
        name="Time to acknowledge"
        value=${duration(ack.median_s)}
        note="median of ${count(ack.n)} · p90 ${duration(ack.p90_s)}"
      />
      <${Figure}
        name="Time to resolve"
        value=${duration(resolve.median_s)}
        note="median of ${count(resolve.n)} · p90 ${duration(resolve.p90_s)}"
      />
      <div class="figure wide">
        <dt>Raised in ${DAYS} days</dt>
        <dd>
          <${Days} series=${series} />
        </dd>
      </div>
    </dl>
  `;
}

function Days({ series }) {
  const raised = series.map((day) => day.raised.critical + day.raised.warning + day.raised.info);
  const most = Math.max(...raised, 1);
  const total = raised.reduce((sum, n) => sum + n, 0);
  const text = `${plural(total, "alert")} raised; most on one day: ${most}`;
  return html`
    <svg
      class="days"
      viewBox="0 0 ${series.length * 8} 30"
      preserveAspectRatio="none"
      role="img"
      aria-label=${text}
    >
      <title>${text}</title>
      ${series.map((day, i) => {
        const height = raised[i] ? 3 + 27 * (raised[i] / most) : 1.5;
        const critical = raised[i] ? (height * day.raised.critical) / raised[i] : 0;
        return html`
          <rect
            key=${day.day}
            x=${i * 8}
            y=${30 - height}
            width="6"
            height=${height}
            class=${raised[i] ? "bar-warn" : "bar-none"}
          />
          ${critical > 0 && html`<rect x=${i * 8} y=${30 - critical} width="6" height=${critical} class="bar-bad" />`}
        `;
      })}
    </svg>
    <span class="note">${plural(total, "alert")}</span>
  `;
}
