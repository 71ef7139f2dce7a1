/**
 * The live feed: one socket that comes back by itself, resumes where it was, and says when it is silent.
 *
 * While no socket can be had the dashboard is polled, so figures stay fresh, only less so.
 */

import { Problem, api } from "./api.js";
import { queryText } from "./query-text.js";
import { ROOT } from "./root.js";
import { endSession } from "./session.js";
import { createStore } from "./store.js";
import { safeValue } from "./text.js";

const SILENT_AFTER_MS = 40_000;
const POLL_MS = 10_000;
/** While live too: rows, sparklines and charts are not in the feed. */
const REFRESH_MS = 15_000;
const POLL_AFTER_MS = 2_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const CLOSED_FOR_GOOD = {
  4401: "Your token has expired or was revoked, or its key was taken away.",
  4403: "This role cannot open the live feed.",
};

/**
 * `mode`: `live` while a socket is open, `connecting` or `polling` while not, `offline` when polls fail too.
 * `heardAt`: when the last frame came (ms); `isSilent`: it is too long ago.
 */
export const link = createStore({ mode: "connecting", heardAt: Date.now(), isSilent: false, pollError: null });

/** What to do with a frame, and with a polled dashboard. */
/** @type {{frame: (frame: any) => void, dashboard: (view: any) => void}} */
let sink = { frame: () => {}, dashboard: () => {} };
let socket = null;
let position = null;
let tries = 0;
let downSince = 0;
let polledAt = 0;
let watching = 0;
let waiting = 0;

/** @param {{frame: (frame: object) => void, dashboard: (view: object) => void}} receiver */
export function startLive(receiver) {
  stopLive();
  sink = receiver;
  position = null;
  tries = 0;
  downSince = Date.now();
  link.set({ mode: "connecting", heardAt: Date.now(), isSilent: false, pollError: null });
  watching = setInterval(watch, 1_000);
  window.addEventListener("online", reconnectNow);
  document.addEventListener("visibilitychange", onVisible);
  connect();
}

export function stopLive() {
  clearInterval(watching);
  clearTimeout(waiting);
  window.removeEventListener("online", reconnectNow);
  document.removeEventListener("visibilitychange", onVisible);
  drop();
}

function drop() {
  if (!socket) return;
  const old = socket;
  socket = null;
  old.onopen = old.onmessage = old.onclose = null;
  old.close();
}

function connect() {
  clearTimeout(waiting);
  drop();
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const opened = new WebSocket(`${scheme}//${location.host}${ROOT}ws/dashboard${queryText(position)}`, "monitor.v1");
  socket = opened;
  opened.onmessage = (message) => hear(message.data);
  opened.onclose = (event) => {
    socket = null;
    if (event.code in CLOSED_FOR_GOOD) endSession(CLOSED_FOR_GOOD[event.code]);
    else retry();
  };
}

function retry() {
  if (link.get().mode === "live") downSince = Date.now();
  link.set((state) => ({ mode: state.mode === "live" ? "connecting" : state.mode }));
  // Half of the wait is diced: many pages that lost one server do not come back together.
  const wait = Math.min(FIRST_WAIT_MS * 2 ** tries, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
  tries += 1;
  waiting = setTimeout(connect, wait);
}

function hear(text) {
  let frame;
  try {
    frame = JSON.parse(text, (_, value) => safeValue(value));
  } catch {
    return;
  }
  tries = 0;
  if (frame.epoch) position = { epoch: frame.epoch, seq: frame.seq };
  link.set({ mode: "live", heardAt: Date.now(), isSilent: false, pollError: null });
  if (frame.type === "snapshot") polledAt = Date.now();
  sink.frame(frame);
}

/** Every second: is the socket silent, is a poll due? */
function watch() {
  const now = Date.now();
  const { heardAt, mode, isSilent } = link.get();
  const silent = now - heardAt > SILENT_AFTER_MS;
  if (silent !== isSilent) link.set({ isSilent: silent });
  if (silent && mode === "live") {
    downSince = now;
    link.set({ mode: "connecting" });
    drop();
    connect();
  }
  const isDue =
    mode === "live" ? now - polledAt > REFRESH_MS : now - downSince > POLL_AFTER_MS && now - polledAt > POLL_MS;
  if (isDue && !document.hidden) poll();
}

async function poll() {
  polledAt = Date.now();
  try {
    sink.dashboard(await api.dashboard());
    if (link.get().mode !== "live") link.set({ mode: "polling", pollError: null });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (link.get().mode !== "live") link.set({ mode: "offline", pollError: error.message });
  }
}

function reconnectNow() {
  if (link.get().mode === "live") return;
  tries = 0;
  polledAt = 0;
  connect();
}

function onVisible() {
  if (!document.hidden) reconnectNow();
}
