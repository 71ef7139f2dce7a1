/** How a webhook is set up, to read. */

import { BODY_FORMATS } from "../body-formats.js";
import { at, duration, plural } from "../format.js";
import { html } from "../html.js";
import { OWNER_LABEL, conditions } from "../labels.js";

export function Configuration({ webhook }) {
  const { retry, rate_limit: limit } = webhook;
  const pairs = [
    ["Description", webhook.description || "–"],
    ["Event types", tags(webhook.event_types)],
    ["Required labels", tags(conditions(webhook.labels).map(([name, value]) => `${name}=${value}`))],
    ...(OWNER_LABEL in webhook.labels ? [["Managed by", `the configuration file of ${webhook.labels[OWNER_LABEL]}`]] : []),
    [
      "Headers",
      Object.keys(webhook.headers).length ? html`
        ${tags(Object.keys(webhook.headers))} <span class="muted small">values are never shown</span>
      ` : (
        "–"
      ),
    ],
    ["Body", new Map(BODY_FORMATS).get(webhook.body_format) ?? webhook.body_format],
    ["Signature", webhook.signature === "v1a" ? "v1a, Ed25519" : "v1, HMAC-SHA256"],
    ["Reminders", reminders(webhook.reminders)],
    ["Attempt timeout", duration(webhook.timeout_s)],
    [
      "Attempts",
      html`
      ${plural(retry.schedule_s.length, "attempt")}, after${" "}
      ${retry.schedule_s.map((wait) => duration(wait)).join(", ")}${" "}
      <span class="muted small">± ${Math.round(retry.jitter_ratio * 100)} %</span>
      `,
    ],
    ["Concurrency", String(webhook.max_concurrency)],
    ["Order", order(webhook)],
    ["Rate limit", limit ? `${limit.per_s} /s, burst ${limit.burst}` : "none"],
    [
      "After Monitor disabled it",
      webhook.reenable === "probe" ? "probes; one that succeeds enables it" : "it stays disabled",
    ],
    ["Created", at(webhook.created_at)],
    ["Changed", at(webhook.updated_at)],
    ["Id", html`<code>${webhook.id}</code>`],
  ];
  return html`
    <section class="panel" aria-labelledby="configuration">
      <header class="panel-head">
        <h2 id="configuration">Configuration</h2>
      </header>
      <dl class="pairs">
        ${pairs.map(([name, value]) => html`
          <div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>
        `)}
      </dl>
    </section>
  `;
}

function reminders(steps) {
  if (steps === null) return "as the body's format has them: after 15 min, 1 h, 4 h; never to pagers";
  return steps.length ? `after ${steps.map((step) => duration(step)).join(", ")}` : "never";
}

function order({ ordered, skip_after: after }) {
  if (!ordered) return "none";
  const failing = after
    ? `overtaken after ${plural(after, "failed attempt")}`
    : "holds those behind it until it is finished";
  return `${ordered === "key" ? "one at a time for each order_key" : "all, one at a time"}; a failing one ${failing}`;
}

function tags(texts) {
  return texts.length
    ? texts.map((text) => html`<span class="tag mono">${text}</span>${" "}`)
    : "–";
}
