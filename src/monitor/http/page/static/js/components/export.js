/** What a list shows, as a file: read page by page, up to a bound that is said. */

import { asProblem, readAll } from "../api.js";
import { csv, download, ndjson } from "../csv.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { count, plural } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { Dialog } from "./dialog.js";
import { FormProblem, SelectField } from "./fields.js";
import { Icon } from "./icons.js";

export const MOST_ROWS = 10_000;
const FORMATS = [
  ["csv", "CSV, for spreadsheets"],
  ["ndjson", "JSON, one row a line, with every member"],
];
const TYPES = { csv: "text/csv;charset=utf-8", ndjson: "application/x-ndjson" };

/** Columns that are members of the rows, under their names. */
export const members = (...names) => names.map((name) => [name, (row) => row[name]]);

/**
 * A button that offers the rows of a list.
 *
 * @param {{name: string, columns: [string, (row: object) => any][], isNewestFirst?: boolean, size?: string,
 *   read: (query: {limit: number, cursor: string|null}, signal: AbortSignal) => Promise<object>}} props `name` begins
 *   the name of the file; `columns` are those of the CSV; `read` reads a page with the filters of the list
 */
export function Export({ name, columns, read, isNewestFirst = true, size = "small" }) {
  const open = () => openDialog(() => html`<${ExportDialog} ...${{ name, columns, read, isNewestFirst }} />`);
  return html`<button type="button" class=${size} onClick=${open}>Export</button>`;
}

/**
 * `done`: null until it has ended, then whether the file has all rows.
 *
 * @type {{rows: number, isBusy: boolean, problem: import("../api.js").Problem|null, done: boolean|null}}
 */
const NOT_STARTED = { rows: 0, isBusy: false, problem: null, done: null };

function ExportDialog({ name, columns, read, isNewestFirst }) {
  const [format, setFormat] = useState("csv");
  const [state, setState] = useState(NOT_STARTED);
  const running = useRef(null);
  const stop = () => running.current?.abort();
  useEffect(() => stop, []);
  const start = async (event) => {
    event.preventDefault();
    if (state.isBusy) return;
    const controller = new AbortController();
    running.current = controller;
    setState({ rows: 0, isBusy: true, problem: null, done: null });
    try {
      const onPage = (rows) => setState((before) => ({ ...before, rows: Math.min(rows.length, MOST_ROWS) }));
      const { rows, isWhole } = await readAll(read, { cap: MOST_ROWS, signal: controller.signal, onPage });
      controller.signal.throwIfAborted();
      const kept = rows.slice(0, MOST_ROWS);
      const text = format === "csv" ? csv(kept, columns) : ndjson(kept);
      download(`${name.replaceAll(" ", "-")}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${format}`, TYPES[format], text);
      setState({ rows: kept.length, isBusy: false, problem: null, done: isWhole && rows.length <= MOST_ROWS });
    } catch (error) {
      const problem = controller.signal.aborted ? null : asProblem(error);
      setState({ rows: 0, isBusy: false, problem, done: null });
    }
  };
  return html`
    <${Dialog} title="Export ${name}" onClose=${closeDialog}>
      <form onSubmit=${start}>
        <div class="dialog-body">
          <p>
            The rows that match the filters of the list, ${isNewestFirst ? "newest first" : "in its order"};${" "}
            at most ${count(MOST_ROWS)}.
          </p>
          <${SelectField}
            label="Format"
            options=${FORMATS}
            value=${format}
            onInput=${(event) => setFormat(event.target.value)}
          />
          <div aria-live="polite">${said(state, isNewestFirst ? "newest" : "first")}</div>
          <${FormProblem} problem=${state.problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" onClick=${state.isBusy ? stop : closeDialog}>
            ${state.isBusy ? "Stop" : "Close"}
          </button>
          <button class="primary" aria-disabled=${state.isBusy ? "true" : undefined}>
            <${Icon} name="down" /> ${state.isBusy ? "Reading…" : "Download"}
          </button>
        </footer>
      </form>
    <//>
  `;
}

function said({ rows, isBusy, done }, which) {
  if (isBusy) return html`<p class="notice">${plural(rows, "row")} read…</p>`;
  if (done === null) return null;
  if (done) return html`<p class="notice info">${plural(rows, "row")} exported.</p>`;
  return html`
    <p class="notice warn">
      Cut: the ${which} ${plural(rows, "row")} exported, there are more. Narrow the filters for the rest.
    </p>
  `;
}
