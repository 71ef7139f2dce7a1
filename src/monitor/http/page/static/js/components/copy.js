/** Values to take away: ids, addresses, payloads, secrets. Says whether the clipboard has them. */

import { html, useEffect, useId, useRef, useState } from "../html.js";
import { Icon } from "./icons.js";

const SHOWN_MS = 4_000;
const BY_HAND = /Mac|iPhone|iPad/.test(navigator.platform) ? "Press ⌘C" : "Press Ctrl+C";

/** @typedef {"idle"|"copied"|"by-hand"} State */

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether the clipboard has it now: there is none outside of a secure context, and a
 *   person may refuse it
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** @returns {[State, () => Promise<void>]} what came of it, for a while, and what copies *text* */
function useCopy(text, select) {
  const [state, setState] = useState(/** @type {State} */ ("idle"));
  useEffect(() => setState("idle"), [text]);
  useEffect(() => {
    if (state !== "copied") return undefined;
    const timer = setTimeout(() => setState("idle"), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async () => {
    const isCopied = await copyText(text);
    if (!isCopied) select();
    setState(isCopied ? "copied" : "by-hand");
  };
  return [state, copy];
}

const SAID = { idle: "", copied: "Copied", "by-hand": `Selected. ${BY_HAND}.` };

/** A read-only field with a button; where the clipboard cannot be used, its text is selected. */
export function CopyField({ label, value }) {
  const field = useRef(null);
  const id = useId();
  const [state, copy] = useCopy(value, () => (field.current.focus(), field.current.select()));
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <div class="joined">
        <input id=${id} ref=${field} class="mono" readonly value=${value} onFocus=${(event) => event.target.select()} />
        <button type="button" onClick=${copy}>
          <${Icon} name=${state === "copied" ? "check" : "copy"} />
          ${state === "copied" ? "Copied" : state === "by-hand" ? BY_HAND : "Copy"}
        </button>
      </div>
      <span class="visually-hidden" role="status">${SAID[state]}</span>
    </div>
  `;
}

/**
 * A button for a value that is shown already, or that is too long for its place.
 *
 * @param {{value: string, label: string, text?: string, of?: {current: HTMLElement|null}}} props `label` says what is
 *   copied ("Copy id"); `text` is shown beside the sign; `of` is the element to select where there is no clipboard: it
 *   shows all of the value. Without it, the value is shown in a field beside the button.
 */
export function CopyButton({ value, label, text, of }) {
  const own = useRef(null);
  const select = () => (of?.current ? getSelection()?.selectAllChildren(of.current) : own.current?.select());
  const [state, copy] = useCopy(value, select);
  const isShown = state === "by-hand" && !of;
  useEffect(() => {
    if (isShown) own.current?.select();
  }, [isShown]);
  return html`
    <span class="copy">
      <button type="button" class="small ${text ? "" : "bare"}" aria-label=${label} title=${label} onClick=${copy}>
        <${Icon} name=${state === "copied" ? "check" : "copy"} size=${14} /> ${text}
      </button>
      <span class="copied small" role="status">${SAID[state]}</span>
      ${isShown && html`
        <textarea
          class="mono copy-by-hand"
          readonly
          rows=${value.includes("\n") ? 4 : 1}
          aria-label="${label}: ${BY_HAND}"
          ref=${own}
          value=${value}
        ></textarea>
      `}
    </span>
  `;
}
