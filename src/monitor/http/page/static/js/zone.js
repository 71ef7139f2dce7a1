/** Whether times are shown in the zone of this browser or in UTC; kept in this browser. */

import { createStore } from "./store.js";

const KEY = "monitor.zone";
export const ZONES = ["local", "utc"];

/** `choice` is one of ZONES. */
export const zone = createStore({ choice: "local" });

export function startZone() {
  const kept = localStorage.getItem(KEY) ?? "";
  zone.set({ choice: ZONES.includes(kept) ? kept : "local" });
}

export function chooseZone(choice) {
  localStorage.setItem(KEY, choice);
  zone.set({ choice });
}

/** The `timeZone` that Intl takes: undefined is that of the browser. */
export const timeZone = () => (zone.get().choice === "utc" ? "UTC" : undefined);

/** The zone in words: "UTC", or the browser's name of its own. */
export const zoneName = () => timeZone() ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
