/** Status in words, with a shape and a colour beside them; never by colour alone. */

import { capital, percent, plural } from "../format.js";
import { html } from "../html.js";
import { ALERT_STATES, REPLACED } from "../words.js";
import { Icon } from "./icons.js";

const TONES = {
  healthy: "ok",
  degraded: "warn",
  unavailable: "bad",
  throttled: "info",
  unknown: "none",
  paused: "info",
  disabled: "none",
  info: "info",
  warning: "warn",
  critical: "bad",
  delivered: "ok",
  failed: "bad",
  cancelled: "none",
  quarantined: "bad",
  pending: "info",
  over: "ok",
};
const SHAPES = {
  delivered: "healthy",
  failed: "unavailable",
  cancelled: "disabled",
  quarantined: "degraded",
  over: "healthy",
};

/** A health, severity or delivery state. */
export function Status({ of, text }) {
  return html`
    <span class="status ${TONES[of] ?? "none"}">
      <${Icon} name=${SHAPES[of] ?? of} />
      ${text ?? capital(of)}
    </span>
  `;
}

export function AlertState({ alert }) {
  const { icon, tone, text } = alert.superseded ? REPLACED : ALERT_STATES[alert.state];
  return html`
    <span class="status ${tone}">
      <${Icon} name=${icon} />
      ${text}
    </span>
    ${alert.silenced && html`
      <span class="status none">
        <${Icon} name="silences" />
        Silenced
      </span>
    `}
    ${alert.flapping && html`
      <span class="status warn">
        <${Icon} name="activity" />
        Flapping
      </span>
    `}
  `;
}

/** An hour in twelve bars: height is traffic, the filled foot is what failed. */
export function Sparkline({ line, label = "Last hour" }) {
  if (!line) return html`<span class="muted">–</span>`;
  const most = Math.max(...line.attempts, 1);
  const total = line.attempts.reduce((sum, n) => sum + n, 0);
  const failed = line.failures.reduce((sum, n) => sum + n, 0);
  const text = total
    ? `${label}: ${plural(total, "attempt")}, ${percent(failed / total)} failed`
    : `${label}: no attempts`;
  const bars = line.attempts.map((n, i) => {
    const height = n ? 4 + 18 * (n / most) : 2;
    const bad = n ? Math.max((height * line.failures[i]) / n, line.failures[i] ? 3 : 0) : 0;
    const x = i * 7;
    return html`
      <rect x=${x} y=${22 - height} width="5" height=${height} rx="1" class=${n ? "bar-ok" : "bar-none"} />
      ${bad > 0 && html`<rect x=${x} y=${22 - bad} width="5" height=${bad} rx="1" class="bar-bad" />`}
    `;
  });
  return html`
    <svg class="spark" viewBox="0 0 82 22" width="82" height="22" role="img" aria-label=${text}>
      <title>${text}</title>
      ${bars}
    </svg>
  `;
}
