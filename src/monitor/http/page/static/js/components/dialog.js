/** Dialogs: the browser's own, which keeps the focus inside and gives it back. */

import { html, useEffect, useId, useRef } from "../html.js";
import { useAction } from "../hooks.js";
import { Icon } from "./icons.js";
import { FormProblem } from "./fields.js";

export function Dialog({ title, onClose, isWide = false, children }) {
  const element = useRef(null);
  const heading = useId();
  useEffect(() => {
    const before = /** @type {HTMLElement|null} */ (document.activeElement);
    element.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`
    <dialog
      ref=${element}
      class=${isWide ? "wide" : ""}
      aria-labelledby=${heading}
      onCancel=${(event) => (event.preventDefault(), onClose())}
    >
      <header class="dialog-head">
        <h2 id=${heading}>${title}</h2>
        <button type="button" class="bare" aria-label="Close" onClick=${onClose}>
          <${Icon} name="close" />
        </button>
      </header>
      ${children}
    </dialog>
  `;
}

/**
 * Asks before something is done, then does it.
 *
 * @param {{title: string, verb: string, tone?: string, action: (form: FormData) => Promise<any>,
 *   onDone: (result: any) => void, onClose: () => void, children?: any, isWide?: boolean}} props
 */
export function ActionDialog({ title, verb, tone = "", action, onDone, onClose, children, isWide }) {
  const { isBusy, problem, run } = useAction(action);
  const submit = async (event) => {
    event.preventDefault();
    const result = await run(new FormData(event.target));
    if (result !== undefined) onDone(result);
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose} isWide=${isWide}>
      <form onSubmit=${submit}>
        <div class="dialog-body">
          ${children}
          <${FormProblem} problem=${problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" onClick=${onClose}>Cancel</button>
          <button class="primary ${tone}" disabled=${isBusy}>${isBusy ? "Working…" : verb}</button>
        </footer>
      </form>
    <//>
  `;
}
