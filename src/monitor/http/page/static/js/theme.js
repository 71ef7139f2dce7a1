/** Dark, light, or as the system has it; kept in this browser. */

import { createStore } from "./store.js";

const KEY = "monitor.theme";
export const THEMES = ["system", "dark", "light"];

const dark = matchMedia("(prefers-color-scheme: dark)");

/** `choice` is one of THEMES, `shown` what it comes to. */
export const theme = createStore({ choice: "system", shown: "dark" });

export function startTheme() {
  dark.addEventListener("change", () => apply(theme.get().choice));
  const kept = localStorage.getItem(KEY);
  apply(kept && THEMES.includes(kept) ? kept : "system");
}

export function chooseTheme(choice) {
  localStorage.setItem(KEY, choice);
  apply(choice);
}

function apply(choice) {
  const shown = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
  document.documentElement.dataset.theme = shown;
  colours.clear();
  theme.set({ choice, shown });
}

const colours = new Map();

/** Returns a colour of the present theme as canvases take it; custom properties alone are not resolved. */
export function colour(name) {
  if (!colours.has(name)) colours.set(name, resolved(name));
  return colours.get(name);
}

function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
