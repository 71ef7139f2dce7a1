/** Keeps a defect of one view from taking the page with it. */

import { html, useErrorBoundary } from "../html.js";
import { Icon } from "./icons.js";

/** Shows its children; once they threw, the error and a way to try again. Give it a `key` of what it shows. */
export function Boundary({ children }) {
  const [error, retry] = useErrorBoundary((thrown) => console.error(thrown));
  if (!error) return children;
  return html`
    <h1 tabindex="-1">This view failed</h1>
    <div class="failed" role="alert">
      <p>
        <${Icon} name="critical" /> <strong>The page has a defect.</strong> ${String(error)}
      </p>
      <button type="button" onClick=${retry}>Try again</button>
    </div>
  `;
}
