/** Hooks, run without a browser. Import browser.js before. */

const { html, render } = await import("../../../src/monitor/http/page/static/js/html.js");

globalThis.document = { hidden: false, createTextNode: () => ({}) };

/** Renders components that show nothing, and tells what their hook returned last. */
export function running(hook) {
  const place = { nodeType: 1, childNodes: [], firstChild: null };
  const seen = { last: null };
  const Probe = (props) => {
    seen.last = hook(props);
    return null;
  };
  seen.draw = (props) => render(html`<${Probe} ...${props} />`, place);
  seen.end = () => render(null, place);
  return seen;
}

export async function until(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}
