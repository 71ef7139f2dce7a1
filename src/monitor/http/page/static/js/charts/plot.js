/**
 * One time series chart on uPlot: lines and bars, a band of what is normal behind them, spans where it was not, and
 * marks of what changed. The values at the cursor, moved by pointer or arrow keys, stand beside it; a table holds all.
 */

import uPlot from "../../vendor/uplot.js";
import { at, minute } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { useStore } from "../store.js";
import { theme } from "../theme.js";
import { zone } from "../zone.js";
import { DataTable } from "./data-table.js";
import { DAY_S, options } from "./options.js";

const NOWHERE = { index: null, left: 0, isRight: false };

/**
 * @typedef {{label: string, values: (number|null)[], tone: string, kind?: "line"|"bars"|"area", scale?: string,
 *   dash?: number[], format: (value: number|null) => string}} Series
 * @typedef {{low: number|null, high: number|null, line?: number|null, scale?: string, label: string}} Band
 * @param {{label: string, x: number[], series: Series[], format: (value: number) => string, isLog?: boolean,
 *   band?: Band|null, spans?: {from: number, to: number}[], marks?: {at: number, letter: string}[], height?: number,
 *   group?: string, onZoom?: (fromS: number, toS: number) => void}} props `x`, spans and marks in Unix seconds; charts
 *   of one group share their cursor; with `onZoom` a range can be dragged
 */
export function Chart(props) {
  const { label, x, series, band, height = 220 } = props;
  const { shown } = useStore(theme);
  const { choice } = useStore(zone);
  const frame = useRef(null);
  const plot = useRef(null);
  const latest = useRef(props);
  latest.current = props;
  const [cursor, setCursor] = useState(NOWHERE);
  const [spoken, setSpoken] = useState("");
  const shape = [shown, choice, height, props.isLog, ...series.map((one) => one.label)].join();

  useEffect(() => {
    const onCursor = (made) => setCursor(cursorOf(made));
    const onZoom = (from, to) => latest.current.onZoom?.(from, to);
    const made = new uPlot(
      options(latest, frame.current.clientWidth, height, { onCursor, onZoom }),
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
  useEffect(() => plot.current?.setData(dataOf(props)), [x, series, band, props.spans, props.marks]);

  const move = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") plot.current.setCursor({ left: -10, top: -10 });
    if (!step || !x.length) return;
    event.preventDefault();
    const next = Math.min(Math.max((cursor.index ?? x.length - (step < 0 ? 0 : 1)) + step, 0), x.length - 1);
    plot.current.setCursor({ left: plot.current.valToPos(x[next], "x"), top: 0 });
    setSpoken(`${timeLabel(x, next)}: ${valuesAt(series, next).join(", ")}`);
  };
  // Without a cursor the newest values stand there; the step that has just begun may have none.
  const place = cursor.index ?? x.findLastIndex((_, i) => series.some((one) => one.values[i] !== null));
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
        ${band && html`
          <span class="legend-item">
            <i class="swatch band ${band.high == null ? "line-only" : ""}"></i>
            ${band.label}
          </span>
        `}
      </figcaption>
      <div
        class="plot"
        tabindex="0"
        role="group"
        aria-label="${label}, chart; arrow keys move along it"
        onKeyDown=${move}
        onBlur=${() => plot.current?.setCursor({ left: -10, top: -10 })}
      >
        <div class="plot-frame" ref=${frame}></div>
        ${cursor.index !== null && html`<${Tip} cursor=${cursor} x=${x} series=${series} />`}
      </div>
      <span class="visually-hidden" role="status">${spoken}</span>
      <${DataTable} label=${label} x=${x} series=${series} />
    </figure>
  `;
}

function Tip({ cursor: { index, left, isRight }, x, series }) {
  return html`
    <div class="chart-tip ${isRight ? "to-left" : ""}" style=${{ left: `${left}px` }} aria-hidden="true">
      <b>${timeLabel(x, index)}</b>
      ${series.map((one) => html`
        <span key=${one.label}>
          <i class="swatch tone-${one.tone} ${one.kind ?? "line"}"></i>
          ${one.label}
          <b>${one.format(one.values[index] ?? null)}</b>
        </span>
      `)}
    </div>
  `;
}

/** Where the cursor of a plot is, in pixels of its frame. */
function cursorOf({ cursor, over }) {
  if (cursor.idx === null || cursor.idx === undefined || cursor.left < 0) return NOWHERE;
  return {
    index: cursor.idx,
    left: over.offsetLeft + cursor.left,
    isRight: cursor.left > over.clientWidth / 2,
  };
}

const valuesAt = (series, place) => series.map((one) => `${one.label} ${one.format(one.values[place] ?? null)}`);

function timeLabel(x, place) {
  const time = new Date(x[place] * 1_000);
  const isLong = x.at(-1) - x[0] > DAY_S || new Date(x[0] * 1_000).getDate() !== time.getDate();
  return isLong ? at(time) : minute(time);
}

const dataOf = ({ x, series }) => [x, ...series.map((one) => one.values)];
