/** The top of a webhook: its name, how it stands and why, and what can be done. */

import { ago, at, capital, percent, precisely } from "../format.js";
import { held } from "../held.js";
import { useNow } from "../hooks.js";
import { html } from "../html.js";
import { Icon } from "./icons.js";
import { Status } from "./status.js";
import { Actions } from "./webhook-actions.js";

export function WebhookHead({ webhook, onChange }) {
  const now = useNow();
  const { health } = webhook;
  const state = webhook.status;
  return html`
    <div class="title-row">
      <div class="grow">
        <h1 tabindex="-1">${webhook.name}</h1>
        <p class="mono small muted break">${webhook.url}</p>
      </div>
      <${Actions} webhook=${webhook} onChange=${onChange} />
    </div>
    <p class="verdict ${{ healthy: "ok", degraded: "warn", unavailable: "bad" }[state] ?? ""}">
      <${Status} of=${state} />
      <span>
        ${state === "disabled"
          ? `${disabling(webhook, now)} `
          : state === "paused"
            ? `Since ${at(webhook.paused_at)}. `
            : ""}
        ${state === "disabled" ? health.reason : webhook.status_reason}
      </span>
      ${health.changed_at && html`
        <span class="muted small" title=${precisely(health.changed_at)}>
          since ${ago(health.changed_at, now)}
        </span>
      `}
      <span class="muted small">
        failure probability of the next delivery ${percent(health.failure_probability)}
      </span>
    </p>
    ${webhook.held && !["disabled", "paused"].includes(webhook.held.reason) && html`
      <p class="small muted">${held(webhook.held, now)}</p>
    `}
  `;
}

function disabling({ disabled }, now) {
  if (!disabled) return "Disabled by configuration.";
  const { reason, events_kept_until: until, next_probe_at: probe } = disabled;
  const kept = until
    ? ` Its events are kept until ${at(until)}; enable it before, and they can be delivered.`
    : "";
  return `${reason}${kept}${probe ? ` Next probe ${ago(probe, now)}.` : ""}`;
}

/** A signal is about what is usual for this webhook, not about its health. */
const STATE_WORDS = { learning: "learning", normal: "as usual", open: "unusual" };
const STATE_SHAPES = { learning: ["unknown", "none"], normal: ["check", "none"], open: ["degraded", "warn"] };

export function Signals({ webhook }) {
  if (!webhook.signals) return null;
  return html`
    <ul class="chips" aria-label="Signals">
      ${Object.entries(webhook.signals)
        .toSorted()
        .map(([signal, state]) => {
          const [shape, tone] = STATE_SHAPES[state] ?? STATE_SHAPES.learning;
          return html`
            <li class="status ${tone}">
              <${Icon} name=${shape} size=${12} />
              ${capital(signal.replaceAll("_", " "))}: ${STATE_WORDS[state] ?? state}
            </li>
          `;
        })}
    </ul>
  `;
}
