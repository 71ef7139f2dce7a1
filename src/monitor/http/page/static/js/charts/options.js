/** How uPlot draws a chart: its scales, axes and lines, in the colours of the theme. */

import uPlot from "../../vendor/uplot.js";
import { day, minute, second, short } from "../format.js";
import { colour } from "../theme.js";
import { drawBehind } from "./behind.js";
import { drawMarks } from "./marks.js";
import { pointsOf } from "./points.js";

export const DAY_S = 86_400;

/**
 * @param {{current: object}} latest what the chart shows now
 * @param {number} width
 * @param {number} height
 * @param {{onCursor: (plot: object) => void, onZoom: (fromS: number, toS: number) => void}} handlers
 */
export function options(latest, width, height, { onCursor, onZoom }) {
  const { series, format, isLog, group } = latest.current;
  const hasSide = series.some((one) => one.scale === "side");
  const scales = {
    x: { time: true, range: () => wholeSteps(latest.current.x) },
    y: isLog
      ? { distr: 3, range: (_, least, most) => aroundBand(latest.current.band, least, most) }
      : { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
  };
  // Bars stay in the lower third, behind what matters.
  if (hasSide)
    scales.side = { range: (_, __, most) => [0, (most || 1) * 3] };
  const grid = { stroke: colour("line-faint"), width: 1 };
  const axis = { stroke: colour("muted"), font: "12px system-ui, sans-serif", grid, ticks: { show: false } };
  return {
    width,
    height,
    scales,
    padding: [14, hasSide ? 0 : 22, 0, 0],
    legend: { show: false },
    cursor: {
      points: { size: 7 },
      drag: { x: Boolean(latest.current.onZoom), y: false, setScale: false, dist: 8 },
      y: false,
      ...(group && { sync: { key: group, setSeries: false, scales: ["x", null] } }),
    },
    series: [{}, ...series.map(lineOf)],
    axes: [
      { ...axis, values: timeValues, space: 70, size: 28 },
      {
        ...axis,
        values: (_, splits) => splits.map((value) => (value === null ? null : format(value))),
        size: 68,
      },
      ...(hasSide ? [{ ...axis, scale: "side", side: 1, values: sideValues, grid: { show: false }, size: 46 }] : []),
    ],
    hooks: {
      drawClear: [(plot) => drawBehind(plot, latest.current)],
      draw: [(plot) => drawMarks(plot, latest.current.marks)],
      setCursor: [onCursor],
      setSelect: [(plot) => select(plot, onZoom)],
    },
  };
}

function select(plot, onZoom) {
  const { left, width } = plot.select;
  if (width < 2) return;
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onZoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
}

/** Values up to the longest bar; those above it would be read as the other axis. */
function sideValues(plot, splits) {
  const most = plot.scales.side.max / 3;
  return splits.map((value) => (value <= most * 1.2 && Number.isInteger(value) ? short(value) : null));
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
  const points = { show: true, size: 6, width: 0, fill: stroke, stroke, filter: (plot, index) => pointsOf(plot.data[index]) };
  const common = { label, scale, points };
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

function timeValues(_, splits, __, ___, increment) {
  return splits.map((seconds) => {
    const time = seconds * 1_000;
    const text = increment < 60 ? second(time) : minute(time);
    return increment >= DAY_S || text === "00:00" ? day(time) : text;
  });
}
