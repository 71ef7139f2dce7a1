/** What is wrong with a form: one voice for what the page and what the server find. */

import { html, useEffect, useRef, useState } from "../html.js";
import { ErrorList } from "./fields.js";
import { Icon } from "./icons.js";

const UNPROCESSABLE = 422;

const isOf = (error, pointer) => error.pointer === pointer || error.pointer.startsWith(`${pointer}/`);

/**
 * @typedef {import("../api.js").Problem} Problem
 * @typedef {{pointer: string, detail: string}} FieldError
 */

/** @type {{errors: FieldError[], problem: Problem|null, serial: number}} */
const NO_ERRORS = { errors: [], problem: null, serial: 0 };

/**
 * Keeps the errors of a form: shown at their fields, gone when the field is edited, and the focus goes to the first.
 *
 * @returns {{form: {current: HTMLFormElement|null}, show: (errors: FieldError[], problem?: Problem|null) => void,
 *   of: (pointer: string) => string|null, clear: (pointer: string) => void, problem: Problem|null,
 *   errors: FieldError[]}}
 *   `show` takes problems of the page, or a `Problem` of the server with its errors
 */
export function useFormErrors() {
  const [state, setState] = useState(NO_ERRORS);
  const form = useRef(null);
  useEffect(() => {
    if (!state.serial) return;
    const wrong = form.current?.querySelector("[aria-invalid=true]");
    wrong?.closest("details")?.setAttribute("open", "");
    (wrong ?? form.current?.querySelector(".form-problem"))?.focus();
  }, [state.serial]);
  /** @type {(errors: FieldError[], problem?: Problem|null) => void} */
  const show = (errors, problem = null) => setState(({ serial }) => ({ errors, problem, serial: serial + 1 }));
  const clear = (pointer) =>
    setState((before) =>
      before.errors.some((error) => isOf(error, pointer))
        ? { ...before, errors: before.errors.filter((error) => !isOf(error, pointer)) }
        : before,
    );
  const of = (pointer) => state.errors.find((error) => isOf(error, pointer))?.detail ?? null;
  return { form, show, clear, of, problem: state.problem, errors: state.errors };
}

/**
 * Says what is wrong above the buttons.
 *
 * @param {{errors: FieldError[], problem: Problem|null, fields: string[]}} props *fields* are the pointers that say their
 *   errors themselves
 */
export function FormErrors({ errors, problem, fields }) {
  if (!errors.length && !problem) return null;
  const rest = errors.filter((error) => !fields.some((field) => isOf(error, field)));
  const isMarked = errors.length > rest.length;
  const isOfFields = !problem || problem.status === UNPROCESSABLE;
  if (isOfFields && !errors.length) return null;
  return html`
    <div class="failed form-problem" role="alert" tabindex="-1">
      <p>
        <${Icon} name="critical" />${" "}
        ${isOfFields
          ? html`<strong>${isMarked ? "Please fix the marked fields." : problem?.message}</strong>`
          : html`<strong>${problem.title}.</strong> ${problem.message}`}
      </p>
      <${ErrorList} errors=${rest} />
    </div>
  `;
}
