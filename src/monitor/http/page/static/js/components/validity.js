/** What a browser knows to be wrong with a field, in the words of the page. */

const labelOf = (field) => field.labels?.[0]?.textContent.trim() || field.getAttribute("aria-label") || field.name;

/** @returns {{field: HTMLElement, text: string}|null} the first field of *form* that breaks a rule of its own */
export function firstInvalid(form) {
  const field = [...form.elements].find((element) => element.willValidate && !element.validity.valid);
  return field ? { field, text: `${labelOf(field)}: ${ruleOf(field)}` } : null;
}

function ruleOf({ validity, title, min, max, maxLength }) {
  if (validity.valueMissing) return "enter a value.";
  if (validity.rangeUnderflow) return `at least ${min}.`;
  if (validity.rangeOverflow) return `at most ${max}.`;
  if (validity.tooLong) return `at most ${maxLength} characters.`;
  if (validity.patternMismatch && title) return `must be: ${title}.`;
  return "this cannot be read.";
}
