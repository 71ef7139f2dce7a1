/** Why an alert was raised: the last failed exchange, the course of things, and what was measured beside now. */

import { measured, facts, timeOf } from "../alert-words.js";
import { api } from "../api.js";
import { FailureChart, LatencyChart, fill } from "../charts/series.js";
import { ago, at, capital, precisely } from "../format.js";
import { useLoad, useNow } from "../hooks.js";
import { Fragment, html, useMemo } from "../html.js";
import { rangeOf } from "../ranges.js";
import { href } from "../router.js";
import { Exchange } from "./exchange.js";
import { Loaded } from "./states.js";
import { Status } from "./status.js";

const HALF_HOUR_MS = 1_800_000;
const CHART_HEIGHT = 150;
const REFRESH_MS = 30_000;
const OF_LATENCY = new Set(["latency"]);

/** The exchange that failed last in the time of the alert. */
export function FailedExchange({ alert }) {
  const failed = alert.last_failed_attempt;
  const now = useNow();
  const load = useLoad(
    async (signal) => {
      const [attempt, webhook] = await Promise.all([
        api.attempt(failed.webhook_id, failed.id, signal),
        api.webhook(failed.webhook_id, signal).catch(() => null),
      ]);
      return { attempt, webhook: webhook?.data };
    },
    [failed.id],
  );
  return html`
    <section class="alert-exchange" aria-labelledby="failed-exchange">
      <h3 id="failed-exchange">
        Last failed exchange${" "}
        <time class="muted small" datetime=${failed.at} title=${precisely(failed.at)}>${ago(failed.at, now)}</time>
      </h3>
      <${Loaded} load=${load} what="Reading the exchange" lines=${3}>
        ${({ attempt, webhook }) => html`<${Exchange} key=${attempt.id} attempt=${attempt} webhook=${webhook} />`}
      <//>
    </section>
  `;
}

/** Where to look further, in the time of the alert. */
export function CauseLinks({ alert }) {
  const time = timeOf(alert);
  const path = `/webhooks/${alert.webhook_id}`;
  return html`
    <p class="meta small alert-links">
      <a href=${href(path, time)}>Attempts in this time</a>
      <a href=${href("/deliveries", { webhook: alert.webhook_id, state: "failed", ...time })}>Failed deliveries</a>
      <a href=${`#${path}`}>${alert.webhook_name ?? "The webhook"}</a>
    </p>
  `;
}

/** Metrics of the webhook around the alert, with the alert as a span. */
export function AlertChart({ alert }) {
  const load = useLoad(
    (signal) => {
      const { fromS, toS, stepS } = rangeOf(timeOf(alert, HALF_HOUR_MS));
      const times = { from: new Date(fromS * 1_000).toISOString(), to: new Date(toS * 1_000).toISOString() };
      return api.metrics(alert.webhook_id, { ...times, step: stepS }, signal);
    },
    [alert.webhook_id, alert.raised_at, alert.resolved_at],
    { everyMs: alert.resolved_at ? 0 : REFRESH_MS },
  );
  return html`
    <${Loaded} load=${load} what="Reading metrics" lines=${3}>
      ${(metrics) => html`<${Course} metrics=${metrics} alert=${alert} />`}
    <//>
  `;
}

function Course({ metrics, alert }) {
  const { x, known } = useMemo(
    () =>
      fill(
        metrics.points,
        Date.parse(metrics.from_at) / 1_000,
        Date.parse(metrics.to_at) / 1_000,
        metrics.step_s,
      ),
    [metrics],
  );
  const spans = useMemo(
    () => [
      {
        from: Date.parse(alert.raised_at) / 1_000,
        to: alert.resolved_at ? Date.parse(alert.resolved_at) / 1_000 : Infinity,
      },
    ],
    [alert.raised_at, alert.resolved_at],
  );
  const Shown = OF_LATENCY.has(alert.kind) ? LatencyChart : FailureChart;
  return html`<${Shown} x=${x} known=${known} spans=${spans} height=${CHART_HEIGHT} />`;
}

/** What was measured when the alert was raised or escalated, beside the last minutes. */
export function Evidence({ alert }) {
  const causes = Object.entries(alert.evidence);
  const compared = causes.flatMap(([cause, evidence]) => {
    const row = rowOf(cause, evidence, alert.now);
    return row ? [{ cause, row }] : [];
  });
  const rest = causes.flatMap(([cause, evidence]) => (measured(cause, evidence) ? [] : facts(cause, evidence)));
  return html`
    ${compared.length > 0 && html`
      <table class="table compact then-now">
        <thead>
          <tr>
            <th scope="col"><span class="visually-hidden">Measure</span></th>
            <th scope="col">Then</th>
            <th scope="col">Normal</th>
            <th scope="col">Now</th>
          </tr>
        </thead>
        <tbody>
          ${compared.map(({ cause, row }) => html`
            <${Fragment} key=${cause}>
              <tr>
                <th scope="row">
                  ${row.name}
                  ${!alert.causes.includes(cause) && html`<span class="muted">${" "}no longer true</span>`}
                </th>
                <td>${row.then}</td>
                <td>${row.normal}</td>
                <td>${row.now}</td>
              </tr>
              ${row.note && html`<tr><td class="muted note" colspan="4">${row.note}</td></tr>`}
            <//>
          `)}
        </tbody>
      </table>
    `}
    ${rest.length > 0 && html`
      <dl class="pairs compact">
        ${rest.map(([name, value]) => html`
          <div key=${name}>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>
        `)}
      </dl>
    `}
  `;
}

function rowOf(cause, evidence, now) {
  if (cause !== "health") return measured(cause, evidence, now);
  return {
    name: "Status",
    then: `${capital(evidence.status ?? "unavailable")} since ${at(evidence.since)}`,
    normal: "–",
    now: now?.status ? html`<${Status} of=${now.status} />` : "–",
    note: now?.reason && now.reason !== evidence.reason ? `Now: ${now.reason}` : "",
  };
}
