/** A table of any length that draws only the rows in sight. Rows are of one height, which is measured. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";

const SPARE_ROWS = 8;
const GUESSED_PX = 52;

/**
 * @param {{rows: {id: string}[], total?: number, head: any, label: string,
 *   row: (item: object, index: number) => any, at?: number, handlers?: object,
 *   rowHandlers?: (item: object) => object, onWindow?: (first: number, last: number) => void}} props `head` has the
 *   cells of the head; `at` is the row to keep in sight; `row` gives the cells of one `tr`; `onWindow` is told which
 *   rows are drawn; `total` counts also the rows that are not read yet
 */
export function VirtualTable(props) {
  const { rows, total = rows.length, head, label, row, at = -1, handlers = {}, rowHandlers, onWindow } = props;
  const body = useRef(null);
  const [height, setHeight] = useState(GUESSED_PX);
  const [window_, setWindow] = useState([0, 40]);

  useEffect(() => {
    const look = () => {
      const top = body.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(Math.floor(-top / height) - SPARE_ROWS, 0);
      const last = Math.ceil((innerHeight - top) / height) + SPARE_ROWS;
      setWindow((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => (removeEventListener("scroll", look), removeEventListener("resize", look));
  }, [height, rows.length]);

  useLayoutEffect(() => {
    const measured = body.current?.querySelector("tr[data-row]")?.getBoundingClientRect().height;
    if (measured && Math.abs(measured - height) > 1) setHeight(measured);
  });

  useEffect(() => {
    if (at < 0 || !body.current) return;
    const top = body.current.getBoundingClientRect().top + at * height;
    if (top < 120) scrollBy({ top: top - 120 });
    else if (top + height > innerHeight - 80) scrollBy({ top: top + height - innerHeight + 80 });
  }, [at]);

  const [first, last] = window_;
  useEffect(() => onWindow?.(first, last), [first, last, rows]);
  const shown = rows.slice(first, last);
  const before = Math.min(first, rows.length) * height;
  const after = Math.max(rows.length - last, 0) * height;
  return html`
    <table class="table rows" aria-label=${label} aria-rowcount=${total + 1} ...${handlers}>
      <thead>
        <tr aria-rowindex="1">${head}</tr>
      </thead>
      <tbody ref=${body}>
        ${before > 0 && html`
          <tr key="before" aria-hidden="true">
            <td class="space" style=${{ height: `${before}px` }}></td>
          </tr>
        `}
        ${shown.map((item, i) => html`
          <tr
            key=${item.id}
            data-row=${item.id}
            aria-rowindex=${first + i + 2}
            class=${first + i === at ? "current" : ""}
            ...${rowHandlers?.(item)}
          >
            ${row(item, first + i)}
          </tr>
        `)}
        ${after > 0 && html`
          <tr key="after" aria-hidden="true">
            <td class="space" style=${{ height: `${after}px` }}></td>
          </tr>
        `}
      </tbody>
    </table>
  `;
}
