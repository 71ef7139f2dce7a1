/** The top of a webhook: its name and address, how it stands and why, and what can be done. */

import { api } from "../api.js";
import { at, capital, duration, precisely } from "../format.js";
import { useLoad, useNow } from "../hooks.js";
import { html } from "../html.js";
import { useTitle } from "../title.js";
import { chance, verdict } from "../verdict.js";
import { CopyButton } from "./copy.js";
import { Icon } from "./icons.js";
import { Status } from "./status.js";
import { Actions } from "./webhook-actions.js";

const TONES = { healthy: "ok", degraded: "warn", unavailable: "bad", paused: "info" };

export function WebhookHead({ webhook, onChange }) {
  useTitle(webhook.name);
  return html`
    <div class="title-row">
      <div class="grow">
        <h1 tabindex="-1">${webhook.name}</h1>
        <p class="address">
          <span class="mono small muted break">${webhook.url}</span>
          <${CopyButton} value=${webhook.url} label="Copy URL" />
        </p>
      </div>
      <${Actions} webhook=${webhook} onChange=${onChange} />
    </div>
    <${Verdict} webhook=${webhook} />
    <${Secrets} webhook=${webhook} />
  `;
}

function Verdict({ webhook }) {
  const now = useNow();
  const { health, backlog } = webhook;
  const state = webhook.status;
  const failures = backlog?.breaker.failures_in_row ?? 0;
  const last = useLoad(
    async (signal) => {
      if (!failures) return { attempt: null };
      return { attempt: (await api.attempts(webhook.id, { ok: false, limit: 1 }, signal)).items[0] ?? null };
    },
    [webhook.id, failures > 0, backlog?.failing_since],
  );
  // Of a status that an open alert makes, the alert says since when.
  const ofHealth = state === health.status ? health.changed_at : null;
  const since = webhook.paused_at ?? (webhook.enabled ? ofHealth : webhook.disabled_at);
  return html`
    <div class="verdict ${TONES[state] ?? ""}">
      <${Status} of=${state} />
      <p class="grow">${verdict(webhook, last.data?.attempt, now)}</p>
      <p class="muted small">
        ${since && html`<span title=${precisely(since)}>for ${duration(Math.max((now - Date.parse(since)) / 1_000, 1))}</span>`}
        ${webhook.enabled && !webhook.paused_at && html`<span>${chance(health.failure_probability)}</span>`}
      </p>
    </div>
  `;
}

/** After a rotation: until when the old secret signs as well. */
function Secrets({ webhook: { previous_secrets_expire_at: until } }) {
  const now = useNow();
  if (!until || Date.parse(until) <= now) return null;
  return html`
    <p class="small muted" title=${precisely(until)}>
      <${Icon} name="info" size=${13} /> Two secrets sign until ${at(until)}: the old one, and the one it was replaced by.
    </p>
  `;
}

/** A signal is about what is usual for this webhook, not about its health. */
const STATE_WORDS = { learning: "learning", normal: "as usual", open: "unusual", failing: "no more than usual" };
const STATE_SHAPES = {
  learning: ["unknown", "none"],
  normal: ["check", "none"],
  open: ["degraded", "warn"],
  failing: ["degraded", "warn"],
};

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
