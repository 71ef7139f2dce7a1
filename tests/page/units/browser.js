/** As much of a browser as the page's modules touch when they are loaded. Import it before them. */

class Kept extends Map {
  getItem(name) {
    return this.get(name) ?? null;
  }
  setItem(name, value) {
    this.set(name, String(value));
  }
  removeItem(name) {
    this.delete(name);
  }
}

export const location = { hash: "", pathname: "/", protocol: "http:", host: "monitor.test" };

globalThis.location = location;
globalThis.history = {
  state: null,
  replaceState: (state, _, address) => {
    globalThis.history.state = state;
    if (address !== undefined) location.hash = address.slice(address.indexOf("#"));
  },
};
globalThis.localStorage = new Kept();
globalThis.sessionStorage = new Kept();
/** Nobody else listens; that of Node.js would keep the process alive. */
globalThis.BroadcastChannel = class {
  postMessage() {}
};
globalThis.matchMedia = () => ({ matches: false, addEventListener: () => {} });
