/**
 * One time series chart on uPlot: lines and bars, a band of what is normal behind them, and spans where it was not.
 * The values under the cursor, moved by pointer or arrow keys, stand in the legend; a table holds them all.
 */

import uPlot from "../../vendor/uplot.js";
import { at, clock } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { useStore } from "../store.js";
import { theme } from "../theme.js";
import { DAY_S, options } from "./options.js";

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
