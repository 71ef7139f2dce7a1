/** A button with a menu (WAI-ARIA menu button): arrows move, Escape closes, and the focus goes back to the button. */

import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "../html.js";
import { Icon } from "./icons.js";

const MOVES = {
  ArrowDown: (at, n) => (at + 1) % n,
  ArrowUp: (at, n) => (at - 1 + n) % n,
  Home: () => 0,
  End: (_, n) => n - 1,
};

/**
 * @param {{label: string, items: ({text: string, act: () => void, hint?: string, tone?: string}|null)[]}} props `null`
 *   is a line between two groups; `hint` the key that does the same
 */
export function Menu({ label, items }) {
  const [isOpen, setOpen] = useState(false);
  const place = useRef(null);
  const button = useRef(null);
  const id = useId();
  const entries = () => [...place.current.querySelectorAll("[role=menuitem]")];
  const close = () => (setOpen(false), button.current.focus());
  // At once: a key that comes before would choose an item, and the focus would go to the first one after it.
  useLayoutEffect(() => {
    if (isOpen) entries()[0]?.focus();
  }, [isOpen]);
  useEffect(() => {
    if (!isOpen) return undefined;
    const outside = (event) => place.current?.contains(event.target) || setOpen(false);
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [isOpen]);
  const onKeyDown = (event) => {
    if (!isOpen) {
      if (event.key === "ArrowDown") (event.preventDefault(), setOpen(true));
      return;
    }
    if (event.key === "Escape") (event.preventDefault(), event.stopPropagation(), close());
    else if (event.key === "Tab") setOpen(false);
    else move(event, entries());
  };
  return html`
    <div class="menu-place" ref=${place} onKeyDown=${onKeyDown}>
      <button
        ref=${button}
        type="button"
        aria-haspopup="menu"
        aria-expanded=${isOpen ? "true" : "false"}
        aria-controls=${isOpen ? id : undefined}
        aria-label=${label}
        title=${label}
        onClick=${() => (isOpen ? close() : setOpen(true))}
      >
        <${Icon} name="more" />
      </button>
      ${isOpen && html`
        <div class="menu" role="menu" id=${id} aria-label=${label}>
          ${items.map((item) => html`<${Item} item=${item} onChosen=${close} />`)}
        </div>
      `}
    </div>
  `;
}

function Item({ item, onChosen }) {
  if (!item) return html`<hr role="separator" />`;
  const { text, act, hint, tone = "" } = item;
  // The focus is on the button again before a dialog opens, which gives it back there.
  return html`
    <button type="button" role="menuitem" tabindex="-1" class=${tone} onClick=${() => (onChosen(), act())}>
      <span>${text}</span>
      ${hint && html`<kbd aria-hidden="true">${hint}</kbd>`}
    </button>
  `;
}

/** By an arrow, or to the next item that begins with a letter. */
function move(event, items) {
  const at = items.indexOf(document.activeElement);
  const letter = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey ? event.key.toLowerCase() : "";
  const byLetter = () => [...items.slice(at + 1), ...items.slice(0, at + 1)].find(
    (item) => letter && item.textContent.trim().toLowerCase().startsWith(letter),
  );
  const next = MOVES[event.key] ? items[MOVES[event.key](at, items.length)] : byLetter();
  if (letter || next) event.stopPropagation();
  if (!next) return;
  event.preventDefault();
  next.focus();
}
