/** The keyboard: single keys that a view registers while it is shown. Typing into a field is never taken for one. */

import { useEffect, useRef } from "./html.js";
import { createStore } from "./store.js";

const KEY = "monitor.keys";
const TYPING = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";
/** On these, Enter has a meaning of its own. */
const PRESSED = "a, button, summary, input, label";
const G_MS = 1_200;

/** Single keys can be turned off (WCAG 2.1.4): they get in the way of speech input. */
export const keyboard = createStore({ isOn: localStorage.getItem(KEY) !== "off" });

/** @type {{find: (key: string) => ((event: KeyboardEvent) => void) | undefined}[]} the last one is asked first */
const layers = [];
let gPressedAt = -Infinity;

export function setKeyboard(isOn) {
  localStorage.setItem(KEY, isOn ? "on" : "off");
  keyboard.set({ isOn });
}

/** While the caller is shown, *bindings* maps keys (`j`, `?`, `g w`) to what they do. */
export function useKeys(bindings) {
  const current = useRef(bindings);
  current.current = bindings;
  useEffect(() => {
    const layer = { find: (key) => current.current[key] };
    layers.push(layer);
    return () => void layers.splice(layers.indexOf(layer), 1);
  }, []);
}

export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !keyboard.get().isOn) return;
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest(TYPING) || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && target?.closest(PRESSED)) return;
    const afterG = performance.now() - gPressedAt < G_MS;
    gPressedAt = event.key === "g" && !afterG ? performance.now() : -Infinity;
    const name = afterG ? `g ${event.key}` : event.key;
    const action = layers.map((layer) => layer.find(name)).findLast(Boolean);
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}
