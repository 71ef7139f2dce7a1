/** What a view shows when it has nothing to show: loading, empty, failed, or only what it knew before. */

import { ago, capital, duration } from "../format.js";
import { html, useLayoutEffect, useRef } from "../html.js";
import { useNow } from "../hooks.js";
import { link } from "../live.js";
import { useStore } from "../store.js";
import { Icon } from "./icons.js";

export function Loading({ what = "Loading", lines = 4 }) {
  const bars = Array.from({ length: lines }, (_, i) => html`<div class="skeleton" key=${i}></div>`);
  return html`
    <div class="loading" role="status">
      <span class="visually-hidden">${what}…</span>
      ${bars}
    </div>
  `;
}

export function Empty({ title, children, icon = "check" }) {
  return html`
    <div class="empty">
      <${Icon} name=${icon} size=${22} />
      <p class="empty-title">${title}</p>
      ${children && html`<p>${children}</p>`}
    </div>
  `;
}

export function Failed({ problem, onRetry }) {
  return html`
    <div class="failed" role="alert">
      <p>
        <${Icon} name="critical" /> <strong>${problem.title}.</strong> ${problem.message}
      </p>
      ${problem.requestId && html`<p class="muted small">Request ${problem.requestId}</p>`}
      ${onRetry && html`<button type="button" onClick=${onRetry}>Try again</button>`}
    </div>
  `;
}

/**
 * What is shown is the last that was read. While nothing answers, the banner says so once, and each panel its age alone;
 * as soon as something does, it is read again.
 */
function Stale({ load }) {
  const now = useNow();
  const { mode } = useStore(link);
  const isAway = mode !== "live" && mode !== "polling";
  const wasAway = useRef(isAway);
  // Before it is painted: no bar flashes up in between.
  useLayoutEffect(() => {
    if (wasAway.current && !isAway) load.reload();
    wasAway.current = isAway;
  }, [isAway]);
  const age = ago(new Date(load.at).toISOString(), now);
  if (load.error.status === 0 && (isAway || load.isLoading)) return html`<p class="age">${capital(age)}</p>`;
  return html`
    <p class="notice warn" role="status">
      <${Icon} name="warning" />
      From ${age}: ${load.error.message}${" "}
      <button type="button" class="link" onClick=${load.reload}>Try again</button>
    </p>
  `;
}

/** The server answers of what it remembers. The banner says why; how old it is, each panel. */
function Remembered({ ageS }) {
  return html`<p class="age">${duration(ageS)} old</p>`;
}

/** The button below a list that has older rows; of `usePages`. */
export function Older({ pages, children }) {
  return html`
    ${pages.problem && html`<${Failed} problem=${pages.problem} />`}
    ${pages.hasMore && html`
      <button type="button" class="block" aria-disabled=${pages.isBusy ? "true" : undefined} onClick=${pages.more}>
        ${children}
      </button>
    `}
  `;
}

/**
 * Shows *load* (of `useLoad`) in whichever state it is; `children` is a function of its data.
 *
 * @param {{load: object, what?: string, lines?: number, isEmpty?: (data: any) => boolean, empty?: any,
 *   children: (data: any) => any}} props
 */
export function Loaded({ load, what, lines, isEmpty, empty, children }) {
  if (load.data === null) {
    return load.error ? html`<${Failed} problem=${load.error} onRetry=${load.reload} />` : html`
      <${Loading} what=${what} lines=${lines} />
    `;
  }
  return html`
    ${load.error && html`<${Stale} load=${load} />`}
    ${load.data.stale && html`<${Remembered} ageS=${load.data.age_s} />`}
    ${isEmpty?.(load.data) ? empty : children(load.data)}
  `;
}
