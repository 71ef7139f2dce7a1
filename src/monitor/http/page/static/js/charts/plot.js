/**
 * One time series chart on uPlot: lines and bars, a band of what is normal behind them, and spans where it was not.
 * The values under the cursor, moved by pointer or arrow keys, stand in the legend; a table holds them all.
 */

import uPlot from "../../vendor/uplot.js";
import { at, clock } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { useStore } from "../store.js";
import { colour, theme } from "../theme.js";
import { drawBehind } from "./behind.js";

const DAY_S = 86_400;

/**
 * @typedef {{label: string, values: (number|null)[], tone: string, kind?: "line"|"bars"|"area", scale?: string,
 *   dash?: number[], format: (value: number|null) => string}} Series
 * @typedef {{low: number|null, high: number|null, line?: number|null, scale?: string, label: string}} Band
 * @param {{label: string, x: number[], series: Series[], format: (value: number) => string, isLog?: boolean,
 *   band?: Band|null, spans?: {from: number, to: number}[], height?: number}} props `x` and spans in Unix seconds
 */
export function Chart(props) {
  const { label, x, series, band, height = 220 } = props;
  const { shown } = useStore(theme);
  const frame = useRef(null);
  const plot = useRef(null);
  const latest = useRef(props);
  latest.current = props;
  const [index, setIndex] = useState(null);
  const shape = [shown, height, props.isLog, ...series.map((one) => one.label)].join();

  useEffect(() => {
    const made = new uPlot(
      options(latest, frame.current.clientWidth, height, setIndex),
      dataOf(latest.current),
      frame.current,
    );
    plot.current = made;
    const watcher = new ResizeObserver(([entry]) =>
      made.setSize({ width: Math.floor(entry.contentRect.width), height }),
    );
    watcher.observe(frame.current);
    return () => (watcher.disconnect(), made.destroy());
  }, [shape]);
  useEffect(() => plot.current?.setData(dataOf(props)), [x, series, band, props.spans]);

  const move = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !x.length) return;
    event.preventDefault();
    const next = Math.min(Math.max((index ?? x.length - (step < 0 ? 0 : 1)) + step, 0), x.length - 1);
    plot.current.setCursor({ left: plot.current.valToPos(x[next], "x"), top: 0 });
  };
  // Without a cursor the newest values stand there; the step that has just begun may have none.
  const place = index ?? x.findLastIndex((_, i) => series.some((one) => one.values[i] !== null));
  return html`
    <figure class="chart">
      <figcaption class="legend">
        <span class="legend-title">${label}</span>
        <span class="legend-at">${place >= 0 ? timeLabel(x, place) : ""}</span>
        ${series.map((one) => html`
          <span class="legend-item" key=${one.label}>
            <i class="swatch tone-${one.tone} ${one.kind ?? "line"}"></i>
            ${one.label} <b>${one.format(one.values[place] ?? null)}</b>
          </span>
        `)}
        ${band && band.high !== null && html`
          <span class="legend-item">
            <i class="swatch band"></i>
            ${band.label}
          </span>
        `}
      </figcaption>
      <div
        class="plot"
        ref=${frame}
        tabindex="0"
        role="group"
        aria-label="${label}, chart; arrow keys move along it"
        onKeyDown=${move}
      ></div>
      <${Figures} label=${label} x=${x} series=${series} />
    </figure>
  `;
}

function timeLabel(x, place) {
  const time = new Date(x[place] * 1_000);
  const isLong = x.at(-1) - x[0] > DAY_S;
  return isLong ? at(time) : clock(time).slice(0, 5);
}

function Figures({ label, x, series }) {
  const [isOpen, setOpen] = useState(false);
  const rows = isOpen
    ? x
        .map((time, i) => [time, i])
        .filter(([, i]) => series.some((one) => one.values[i]))
        .toReversed()
    : [];
  return html`
    <details class="figures" onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>Figures</summary>
      ${isOpen && html`
        <div class="scroll-x" tabindex="0" role="region" aria-label="${label}, figures">
          <table class="table compact">
            <thead>
              <tr>
                <th scope="col">From</th>
                ${series.map((one) => html`<th scope="col" class="num">${one.label}</th>`)}
              </tr>
            </thead>
            <tbody>
              ${rows.map(([time, i]) => html`
                <tr key=${time}>
                  <td>${at(new Date(time * 1_000))}</td>
                  ${series.map((one) => html`<td class="num">${one.format(one.values[i])}</td>`)}
                </tr>
              `)}
            </tbody>
          </table>
        </div>
      `}
    </details>
  `;
}

const dataOf = ({ x, series }) => [x, ...series.map((one) => one.values)];

function options(latest, width, height, setIndex) {
  const { series, format, isLog } = latest.current;
  const scales = {
    x: { time: true, range: () => wholeSteps(latest.current.x) },
    y: isLog
      ? { distr: 3, range: (_, least, most) => aroundBand(latest.current.band, least, most) }
      : { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
  };
  if (series.some((one) => one.scale === "side"))
    scales.side = { range: (_, __, most) => [0, (most || 1) * 3] };
  const grid = { stroke: colour("line-faint"), width: 1 };
  const axis = { stroke: colour("muted"), font: "12px system-ui, sans-serif", grid, ticks: { show: false } };
  return {
    width,
    height,
    scales,
    padding: [10, 22, 0, 0],
    legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: false, y: false }, y: false },
    series: [{}, ...series.map(lineOf)],
    axes: [
      { ...axis, values: timeValues, space: 70, size: 28 },
      {
        ...axis,
        values: (_, splits) => splits.map((value) => (value === null ? null : format(value))),
        size: 68,
      },
    ],
    hooks: {
      drawClear: [(plot) => drawBehind(plot, latest.current)],
      setCursor: [(plot) => setIndex(plot.cursor.idx)],
    },
  };
}

/** To the end of the last step: what happens in it is drawn too. */
function wholeSteps(x) {
  return x.length > 1 ? [x[0], 2 * x.at(-1) - x.at(-2)] : [(x[0] ?? 0) - 60, (x[0] ?? 0) + 60];
}

/** Room around the values of a logarithmic scale, and for the band, so that one sees how far away normal is. */
function aroundBand(band, least, most) {
  const values = [least, most, band?.low, band?.line ?? band?.high].filter((value) => value > 0);
  return values.length
    ? [round125(Math.min(...values) / 1.1, -1), round125(Math.max(...values) * 1.1, 1)]
    : [1, 1_000];
}

/** The next 1, 2 or 5 times a power of ten, below (-1) or above (1). */
function round125(value, direction) {
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 2, 5, 10].map((step) => step * power);
  return direction < 0 ? steps.findLast((step) => step <= value) : steps.find((step) => step >= value);
}

function lineOf({ label, tone, kind = "line", scale = "y", dash }) {
  const stroke = colour(`tone-${tone}`);
  const common = { label, scale, points: { show: sparse } };
  if (kind === "bars")
    return {
      ...common,
      fill: stroke,
      width: 0,
      paths: uPlot.paths.bars({ size: [0.8, 40] }),
      points: { show: false },
    };
  const fill = kind === "area" ? colour(`tone-${tone}-faint`) : undefined;
  return { ...common, stroke, fill, width: 1.6, dash, paths: uPlot.paths.spline?.() };
}

/** Points are drawn only where too few values would make no line. */
function sparse(plot, seriesIndex) {
  return plot.data[seriesIndex].filter((value) => value !== null).length < 12;
}

function timeValues(_, splits, __, ___, increment) {
  return splits.map((seconds) => {
    const time = new Date(seconds * 1_000);
    if (increment >= DAY_S) return `${time.getDate()} ${time.toLocaleString("en", { month: "short" })}`;
    const text = clock(time);
    const isMidnight = text.startsWith("00:00");
    return isMidnight
      ? `${time.getDate()} ${time.toLocaleString("en", { month: "short" })}`
      : text.slice(0, increment < 60 ? 8 : 5);
  });
}
