/** Timers that many rows share: one for each pace, however many listen. */

const tickers = new Map();

/**
 * Calls *listener* with Unix milliseconds every *everyMs*.
 *
 * @param {number} everyMs
 * @param {(now: number) => void} listener
 * @returns {() => void} ends it
 */
export function onTick(everyMs, listener) {
  const ticker = tickers.get(everyMs) ?? start(everyMs);
  ticker.listeners.add(listener);
  return () => {
    ticker.listeners.delete(listener);
    if (ticker.listeners.size || tickers.get(everyMs) !== ticker) return;
    clearInterval(ticker.timer);
    tickers.delete(everyMs);
  };
}

function start(everyMs) {
  const listeners = new Set();
  const tell = () => {
    const now = Date.now();
    for (const listener of [...listeners]) listener(now);
  };
  const ticker = { listeners, timer: setInterval(tell, everyMs) };
  tickers.set(everyMs, ticker);
  return ticker;
}
