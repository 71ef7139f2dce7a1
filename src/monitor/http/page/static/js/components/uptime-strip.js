/** How a webhook did, hour by hour or day by day: one bar each, described in words as one moves along them. */

import { api } from "../api.js";
import { at, capital, count, percent, plural, precisely, utcDay } from "../format.js";
import { useLoad } from "../hooks.js";
import { html, useState } from "../html.js";
import { route, setQuery } from "../router.js";
import { useStore } from "../store.js";
import { Segments } from "./segments.js";
import { Loaded } from "./states.js";

const REFRESH_MS = 60_000;
const UNITS = [["hours", "72 hours"], ["days", "90 days"]];
const LENGTH_MS = { hours: 3_600_000, days: 86_400_000 };
const RATIOS = [["last_24h", "24 h"], ["last_7d", "7 d"], ["last_30d", "30 d"], ["last_90d", "90 d"]];
const STATUSES = ["healthy", "degraded", "unavailable", "unknown"];
const WORDS = {
  healthy: "under 1 % failed",
  degraded: "1 % or more failed",
  unavailable: "half or more failed",
  unknown: "no attempts",
};

export function UptimeStrip({ webhook }) {
  const unit = useStore(route).query.uptime === "days" ? "days" : "hours";
  const load = useLoad((signal) => api.uptime(webhook.id, signal), [webhook.id], { everyMs: REFRESH_MS });
  return html`
    <section class="panel uptime" aria-labelledby="uptime">
      <header class="panel-head">
        <h2 id="uptime">Uptime</h2>
        <${Segments}
          label="Bars"
          value=${unit}
          options=${UNITS}
          onChange=${(name) => setQuery({ uptime: name === "days" ? name : "" })}
        />
      </header>
      <${Loaded} load=${load} what="Reading uptime" lines=${2}>
        ${(uptime) => html`
          <dl class="uptime-ratios">
            ${RATIOS.map(([member, name]) => html`
              <div key=${member}><dt>${name}</dt><dd>${percent(uptime.success_ratios[member])}</dd></div>
            `)}
          </dl>
          <${Bars} key=${unit} bars=${uptime[unit]} unit=${unit} />
        `}
      <//>
    </section>
  `;
}

function Bars({ bars, unit }) {
  const [place, setPlace] = useState(null);
  const current = place ?? bars.length - 1;
  const show = (of) => {
    const from = Date.parse(bars[of].at);
    const to = new Date(from + LENGTH_MS[unit]);
    setQuery({ range: "custom", from: new Date(from).toISOString(), to: to.toISOString() });
  };
  const move = (event) => {
    const last = bars.length - 1;
    const to = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: last }[event.key];
    if (event.key === "Enter") show(current);
    else if (to === undefined) return;
    else setPlace(Math.min(Math.max(to, 0), last));
    event.preventDefault();
  };
  return html`
    <div
      class="uptime-bars"
      role="slider"
      tabindex="0"
      aria-label="${unit === "days" ? "Days" : "Hours"}, arrow keys move, Enter shows one in the charts"
      aria-valuemin="1"
      aria-valuemax=${bars.length}
      aria-valuenow=${current + 1}
      aria-valuetext=${textOf(bars[current], unit)}
      onKeyDown=${move}
      onPointerLeave=${() => setPlace(null)}
    >
      ${bars.map((bar, of) => html`
        <i
          key=${bar.at}
          class="uptime-bar ${bar.worst} ${of === place ? "current" : ""}"
          title=${precisely(bar.at)}
          onPointerEnter=${() => setPlace(of)}
          onClick=${() => show(of)}
        ></i>
      `)}
    </div>
    <p class="uptime-text small">${textOf(bars[current], unit)}</p>
    <ul class="uptime-key small muted" aria-label="Key">
      ${STATUSES.map((status) => html`
        <li key=${status}><i class="uptime-bar ${status}"></i>${WORDS[status]}</li>
      `)}
    </ul>
  `;
}

/** A bar in words: what its shape and colour say, and the figures behind them. */
function textOf({ at: start, attempts, failures, success_ratio: ratio, status, worst, silenced }, unit) {
  const when = unit === "days" ? `${utcDay(start)} (UTC)` : `${at(start)}, one hour`;
  const inside = silenced ? ` ${plural(silenced, "attempt")} inside silences ${silenced === 1 ? "is" : "are"} left out.` : "";
  if (!attempts) return `${when}: no attempts${inside ? " that count" : ""}.${inside}`;
  const failed = failures ? `, ${count(failures)} failed` : ", none failed";
  const worse = worst === status ? "" : ` Worst hour: ${worst}.`;
  return `${when}: ${capital(status)}. ${plural(attempts, "attempt")}${failed}, ${percent(ratio)} succeeded.${worse}${inside}`;
}
