/** Dialogs: the browser's own, which keeps the focus inside and gives it back. */

import { html, useEffect, useId, useRef, useState } from "../html.js";
import { useAction } from "../hooks.js";
import { Icon } from "./icons.js";
import { FormProblem } from "./fields.js";
import { firstInvalid } from "./validity.js";

/**
 * What a dialog is about: what asks for the focus, else its first field, else its main button; not the × before them.
 *
 * @param {HTMLDialogElement} dialog
 * @returns {HTMLElement|null}
 */
function firstWanted(dialog) {
  const wanted = ["[autofocus]", ".dialog-body :is(input:not([type=hidden]), select, textarea)", ".dialog-foot .primary"];
  /** @type {(HTMLElement|null)[]} */
  const found = wanted.map((selector) => dialog.querySelector(selector));
  return found.find((element) => element !== null) ?? null;
}

/**
 * Gives the focus back to where it was, or to the heading of the view if that is gone, or goes by what was done.
 *
 * @param {HTMLElement|null} before
 */
function giveBack(before) {
  const heading = () => /** @type {HTMLElement|null} */ (document.querySelector("main h1"));
  const takeHeading = () => heading()?.focus({ preventScroll: true });
  if (!before?.isConnected || before === document.body) {
    takeHeading();
    return;
  }
  before.focus();
  const observer = new MutationObserver(() => {
    if (before.isConnected) return;
    observer.disconnect();
    if (document.activeElement === document.body) takeHeading();
  });
  observer.observe(document.body, { childList: true, subtree: true });
  document.addEventListener("focusin", () => observer.disconnect(), { once: true });
}

/**
 * @param {{title: string, onClose?: () => void, isWide?: boolean, isSealed?: boolean, children: any}} props without
 *   `onClose` only its own buttons close it; `isSealed` hides what is behind it
 */
export function Dialog({ title, onClose, isWide = false, isSealed = false, children }) {
  const element = useRef(null);
  const heading = useId();
  useEffect(() => {
    const before = /** @type {HTMLElement|null} */ (document.activeElement);
    const shown = element.current;
    shown.showModal();
    firstWanted(shown)?.focus();
    // A browser lets a second Escape close it unasked.
    const stay = () => shown.isConnected && !shown.open && shown.showModal();
    shown.addEventListener("close", stay);
    return () => {
      shown.removeEventListener("close", stay);
      // While it is open, nothing behind it takes the focus.
      shown.close();
      giveBack(before);
    };
  }, []);
  return html`
    <dialog
      ref=${element}
      class=${[isWide && "wide", isSealed && "sealed"].filter(Boolean).join(" ")}
      aria-labelledby=${heading}
      onCancel=${(event) => (event.preventDefault(), onClose?.())}
    >
      <header class="dialog-head">
        <h2 id=${heading}>${title}</h2>
        ${onClose && html`
          <button type="button" class="bare" aria-label="Close" onClick=${onClose}>
            <${Icon} name="close" />
          </button>
        `}
      </header>
      ${children}
    </dialog>
  `;
}

/**
 * Asks before something is done, then does it.
 *
 * @param {{title: string, verb: string, cancel?: string, tone?: string, action: (form: FormData) => Promise<any>,
 *   onDone: (result: any) => void, onClose: () => void, isWide?: boolean, children?: any,
 *   isCancelFirst?: boolean}} props
 *   `isCancelFirst` puts the focus on the button that does nothing, so that Enter alone loses nothing
 */
export function ActionDialog({
  title,
  verb,
  cancel = "Cancel",
  tone = "",
  action,
  onDone,
  onClose,
  isWide = false,
  children,
  isCancelFirst = false,
}) {
  const { isBusy, problem, run } = useAction(action);
  const [wrong, setWrong] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    const invalid = firstInvalid(event.target);
    setWrong(invalid?.text ?? null);
    if (invalid) {
      invalid.field.setAttribute("aria-invalid", "true");
      invalid.field.focus();
      return;
    }
    const result = await run(new FormData(event.target));
    if (result !== undefined) onDone(result);
  };
  const edited = (event) => {
    event.target.removeAttribute("aria-invalid");
    setWrong(null);
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose} isWide=${isWide}>
      <form onSubmit=${submit} onInput=${edited} novalidate>
        <div class="dialog-body">
          ${children}
          ${wrong && html`
            <p class="field-error" role="alert">
              <${Icon} name="warning" size=${13} /> ${wrong}
            </p>
          `}
          <${FormProblem} problem=${wrong ? null : problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" autofocus=${isCancelFirst} onClick=${onClose}>${cancel}</button>
          <button class="primary ${tone}" aria-disabled=${isBusy ? "true" : undefined}>
            ${isBusy ? "Working…" : verb}
          </button>
        </footer>
      </form>
    <//>
  `;
}
