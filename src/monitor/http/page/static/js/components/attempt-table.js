/** Attempts as rows, each of which opens to its exchange. */

import { clock, ms, precisely } from "../format.js";
import { Fragment, html } from "../html.js";
import { Disclosure } from "./disclosure.js";
import { kindOfError } from "../verdict.js";
import { Exchange } from "./exchange.js";
import { Status } from "./status.js";

export function AttemptTable({ label, children }) {
  return html`
    <table class="table attempts" aria-label=${label}>
      <thead>
        <tr>
          <th scope="col">Result</th>
          <th scope="col">When</th>
          <th scope="col">Event</th>
          <th scope="col" class="num">No.</th>
          <th scope="col" class="num">Duration</th>
          <th scope="col">
            <span class="visually-hidden">Details</span>
          </th>
        </tr>
      </thead>
      <tbody>
        ${children}
      </tbody>
    </table>
  `;
}

export function Attempt({ attempt, webhook, isOpen, isLinked, onToggle }) {
  const result = attempt.status_code ?? kindOfError(attempt.error);
  return html`
    <${Fragment}>
      <tr class=${isOpen ? "attempt current" : "attempt"}>
        <td>
          <${Status} of=${attempt.ok ? "delivered" : "failed"} text=${String(result)} />
        </td>
        <td>
          <time datetime=${attempt.at} title=${precisely(attempt.at)}>${clock(attempt.at)}</time>
        </td>
        <td class="clip">
          ${attempt.event_id ? html`
            <a href=${`#/events/${attempt.event_id}`}>${attempt.event_type ?? "event"}</a>
          ` : (
            (attempt.event_type ?? "–")
          )}${" "}
          ${attempt.kind !== "delivery" && html`<span class="tag">${attempt.kind}</span>`}
        </td>
        <td class="num try">${attempt.number}</td>
        <td class="num">${ms(attempt.latency_ms)}</td>
        <td class="num details">
          <${Disclosure} label="Details of the attempt at ${clock(attempt.at)}" isOpen=${isOpen} onToggle=${onToggle} />
        </td>
      </tr>
      ${isOpen && html`
        <tr class="detail">
          <td colspan="6">
            <${Exchange} attempt=${attempt} webhook=${webhook} isLinked=${isLinked} />
          </td>
        </tr>
      `}
    <//>
  `;
}
