/** A search that narrows a list once typing rests; its text is a member of the address. */

import { useSettled } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { route, setQuery } from "../router.js";
import { Icon } from "./icons.js";

/**
 * @param {{label: string, placeholder: string, name: string, query: object, pattern?: RegExp, field?: object}} props
 *   `name` is the member of *query*; what does not match `pattern` is said to be wrong and narrows nothing
 */
export function SettledSearch({ label, placeholder, name, query, pattern, field }) {
  const [text, setText] = useState(query[name] ?? "");
  const settled = useSettled(text.trim());
  const isWrong = Boolean(pattern && settled && !pattern.test(settled));
  useEffect(() => {
    const value = isWrong ? "" : settled;
    if ((route.get().query[name] ?? "") !== value) setQuery({ [name]: value });
  }, [settled]);
  // Changed elsewhere: by a link, or by going back.
  useEffect(() => {
    if ((query[name] ?? "") !== settled && !isWrong) setText(query[name] ?? "");
  }, [query[name]]);
  return html`
    <label class="search small">
      <span class="visually-hidden">${label}</span>
      <${Icon} name="search" />
      <input
        ref=${field}
        type="search"
        placeholder=${placeholder}
        title=${isWrong ? "This is no id." : label}
        aria-invalid=${isWrong ? "true" : undefined}
        value=${text}
        onInput=${(event) => setText(event.target.value)}
      />
    </label>
  `;
}
