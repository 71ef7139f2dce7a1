/** Short words about what just happened. Read aloud politely; those of critical alerts at once. */

import { createStore, useStore } from "../store.js";
import { html } from "../html.js";
import { Icon } from "./icons.js";

const SHOWN_MS = 7_000;
/** @type {ReturnType<typeof createStore<{items: object[], polite: string, urgent: string}>>} */
const toasts = createStore({ items: [], polite: "", urgent: "" });
let number = 0;

/**
 * @param {string} text
 * @param {{tone?: "ok"|"bad"|"warn"|"info", to?: string|null, isUrgent?: boolean}} [options]
 */
export function toast(text, { tone = "ok", to = null, isUrgent = false } = {}) {
  number += 1;
  const item = { key: number, text, tone, to };
  toasts.set((state) => ({ items: [...state.items.slice(-3), item], [isUrgent ? "urgent" : "polite"]: text }));
  setTimeout(() => dismiss(item.key), SHOWN_MS);
}

function dismiss(key) {
  toasts.set((state) => ({ items: state.items.filter((item) => item.key !== key) }));
}

const ICONS = { ok: "healthy", bad: "critical", warn: "warning", info: "info" };

export function Toasts() {
  const { items, polite, urgent } = useStore(toasts);
  return html`
    <div class="visually-hidden" aria-live="polite" id="polite">${polite}</div>
    <div class="visually-hidden" aria-live="assertive" id="urgent">${urgent}</div>
    <section class="toasts" aria-label="Messages">
      ${items.map((item) => html`
        <div class="toast ${item.tone}" key=${item.key}>
          <${Icon} name=${ICONS[item.tone]} />
          ${item.to ? html`<a href=${`#${item.to}`}>${item.text}</a>` : html`<span>${item.text}</span>`}
          <button type="button" class="bare" aria-label="Dismiss" onClick=${() => dismiss(item.key)}>
            <${Icon} name="close" size=${12} />
          </button>
        </div>
      `)}
    </section>
  `;
}
