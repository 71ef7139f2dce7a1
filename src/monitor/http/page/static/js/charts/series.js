/** Charts of the two kinds of series that the API has, and the ranges over which they can be seen. */

import { count, ms, percent } from "../format.js";
import { html, useMemo } from "../html.js";
import { Chart } from "./plot.js";

/** Steps without attempts are left out of the answer; here they are put back, so that a gap looks like one. */
export function fill(points, fromS, toS, stepS) {
  const found = new Map(points.map((point) => [Date.parse(point.at) / 1_000, point]));
  const x = [];
  const known = [];
  const first = points.length ? Math.min(fromS, Date.parse(points[0].at) / 1_000) : fromS;
  // Steps begin where the first point says, not at round numbers.
  const offset = points.length ? (Date.parse(points[0].at) / 1_000) % stepS : fromS % stepS;
  for (let time = Math.ceil((first - offset) / stepS) * stepS + offset; time < toS; time += stepS) {
    x.push(time);
    known.push(found.get(time) ?? null);
  }
  return { x, known };
}

const LATENCY = [
  ["p50", "p50_ms", "calm", "line"],
  ["p95", "p95_ms", "accent", "line"],
  ["p99", "p99_ms", "warm", "line"],
];

/** @param {{x: number[], known: (object|null)[], normal?: object|null, spans?: object[], height?: number}} props */
export function LatencyChart({ x, known, normal, spans, height }) {
  const series = useMemo(
    () =>
      LATENCY.map(([label, member, tone, kind]) => ({
        label,
        tone,
        kind,
        format: ms,
        values: known.map((point) => point?.[member] ?? null),
      })),
    [known],
  );
  const band = useMemo(
    () =>
      normal && {
        low: normal.latency_low_ms,
        high: normal.latency_high_ms,
        line: normal.slow_ms,
        label: "normal, dashed: 1 in 20 is slower",
      },
    [normal],
  );
  return html`
    <${Chart}
      label="Latency of successes"
      x=${x}
      series=${series}
      format=${ms}
      isLog=${true}
      band=${band}
      spans=${spans}
      height=${height}
    />
  `;
}

/** Attempts in the background, what failed of them in front; with *normal* as a ratio against its band. */
export function FailureChart({ x, known, normal, spans, height }) {
  const series = useMemo(
    () => [
      {
        label: "attempts",
        tone: "quiet",
        kind: "bars",
        scale: "side",
        format: count,
        values: known.map((point) => point?.attempts ?? null),
      },
      {
        label: "failed",
        tone: "bad",
        kind: "area",
        format: percent,
        values: known.map((point) => (point?.attempts ? point.failures / point.attempts : null)),
      },
    ],
    [known],
  );
  const band = useMemo(
    () => normal && { low: 0, high: normal.failure_ratio, line: normal.failure_ratio, label: "normal" },
    [normal],
  );
  return html`
    <${Chart}
      label="Failures"
      x=${x}
      series=${series}
      format=${(value) => `${Math.round(value * 1_000) / 10} %`}
      band=${band}
      spans=${spans}
      height=${height}
    />
  `;
}
