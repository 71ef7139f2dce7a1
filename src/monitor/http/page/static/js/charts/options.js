/** How uPlot draws a chart: its scales, axes and lines, in the colours of the theme. */

import uPlot from "../../vendor/uplot.js";
import { clock } from "../format.js";
import { colour } from "../theme.js";
import { drawBehind } from "./behind.js";

export const DAY_S = 86_400;

export function options(latest, width, height, setIndex) {
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
