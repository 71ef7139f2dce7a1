/** A button that copies a text; where the browser does not let it, the text stands there, selected. */

import { html, useEffect, useRef, useState } from "../html.js";
import { Icon } from "./icons.js";

const SAID_MS = 4_000;

/** @param {{value: string, children: string}} props */
export function CopyButton({ value, children }) {
  const [state, setState] = useState("idle");
  const area = useRef(null);
  const copy = async () => {
    try {
      // There is none without a secure context.
      await navigator.clipboard.writeText(value);
      setState("copied");
    } catch {
      setState("selected");
      area.current?.select();
    }
  };
  useEffect(() => setState("idle"), [value]);
  useEffect(() => {
    if (state === "selected") area.current.select();
    const timer = state === "copied" && setTimeout(() => setState("idle"), SAID_MS);
    return () => clearTimeout(timer);
  }, [state]);
  return html`
    <button type="button" class="small" onClick=${copy}>
      <${Icon} name=${state === "copied" ? "check" : "copy"} size=${13} /> ${children}
    </button>
    <span class="copied small" role="status">${state === "copied" ? "Copied" : ""}</span>
    ${state === "selected" && html`
      <label class="copy-by-hand small">
        This browser does not let the page copy: press Ctrl+C.
        <textarea class="mono" readonly rows="4" ref=${area} value=${value}></textarea>
      </label>
    `}
  `;
}
