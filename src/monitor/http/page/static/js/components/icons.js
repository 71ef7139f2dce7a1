/** Small pictures. Shape tells as much as colour; they are silent to screen readers, the text beside them speaks. */

import { html } from "../html.js";

const SHAPES = {
  // Health: circle with tick, triangle, octagon with cross, hourglass, hollow diamond.
  healthy: html`
    <circle cx="8" cy="8" r="7" fill="currentColor" />
    <path d="M4.8 8.3l2.2 2.2 4.2-4.6" class="cut" />
  `,
  degraded: html`
    <path d="M8 1.2L15.4 14.4H.6z" fill="currentColor" />
    <path d="M8 6v4M8 11.6v1" class="cut" />
  `,
  unavailable: html`
    <path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z" fill="currentColor" />
    <path d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" class="cut" />
  `,
  throttled: html`<path d="M3 1.5h10L8 8l5 6.5H3L8 8z" fill="currentColor" />`,
  unknown: html`<path d="M8 1.4L14.6 8 8 14.6 1.4 8z" class="line" />`,
  paused: html`
    <rect x="3" y="2" width="3.6" height="12" rx="1" fill="currentColor" />
    <rect x="9.4" y="2" width="3.6" height="12" rx="1" fill="currentColor" />
  `,
  disabled: html`
    <circle cx="8" cy="8" r="6.2" class="line" />
    <path d="M3.8 12.2l8.4-8.4" class="line" />
  `,
  info: html`
    <circle cx="8" cy="8" r="6.4" class="line" />
    <path d="M8 7.2v4.2M8 4.4v1" class="line" />
  `,
  pending: html`<circle cx="8" cy="8" r="6.2" class="line" stroke-dasharray="3 2.2" />`,
  overview: html`
    <rect x="1.5" y="1.5" width="5.5" height="7" rx="1" class="line" />
    <rect x="9" y="1.5" width="5.5" height="4" rx="1" class="line" />
    <rect x="1.5" y="11" width="5.5" height="3.5" rx="1" class="line" />
    <rect x="9" y="8" width="5.5" height="6.5" rx="1" class="line" />
  `,
  webhooks: html`
    <circle cx="4" cy="11.5" r="2.5" class="line" />
    <circle cx="12" cy="11.5" r="2.5" class="line" />
    <circle cx="8" cy="4" r="2.5" class="line" />
    <path d="M7 6.5L5 9.3M9 6.5l2 2.8M6.5 11.5h3" class="line" />
  `,
  alerts: html`<path d="M3.5 11.5V7a4.5 4.5 0 0 1 9 0v4.5l1.2 1.2H2.3zM6.5 14.6h3" class="line" />`,
  notifications: html`<path d="M14.5 1.5L1.5 6.8l5 2.7 2.7 5zM6.5 9.5l4-4" class="line" />`,
  silences: html`<path d="M3.5 11.5V7a4.5 4.5 0 0 1 9 0v4.5l1.2 1.2H2.3zM1.5 1.5l13 13" class="line" />`,
  events: html`<path d="M8.8 1.2L3 9.2h4.4l-.6 5.6L13 6.6H8.4z" class="line" />`,
  activity: html`<path d="M1 8.5h3l2-6 3.6 11L12 8.5h3" class="line" />`,
  system: html`
    <rect x="2" y="2" width="12" height="5" rx="1" class="line" />
    <rect x="2" y="9" width="12" height="5" rx="1" class="line" />
    <path d="M4.5 4.5h1M4.5 11.5h1" class="line" />
  `,
  audit: html`
    <rect x="3" y="1.5" width="10" height="13" rx="1" class="line" />
    <path d="M5.5 5h5M5.5 8h5M5.5 11h3" class="line" />
  `,
  jobs: html`<path d="M8 1.8A6.2 6.2 0 1 1 1.8 8M8 4.5V8l2.5 1.5" class="line" />`,
  more: html`
    <circle cx="3" cy="8" r="1.5" fill="currentColor" />
    <circle cx="8" cy="8" r="1.5" fill="currentColor" />
    <circle cx="13" cy="8" r="1.5" fill="currentColor" />
  `,
  search: html`
    <circle cx="7" cy="7" r="4.8" class="line" />
    <path d="M10.6 10.6L14.5 14.5" class="line" />
  `,
  plus: html`<path d="M8 2.5v11M2.5 8h11" class="line" />`,
  close: html`<path d="M3.5 3.5l9 9M12.5 3.5l-9 9" class="line" />`,
  right: html`<path d="M6 3l5 5-5 5" class="line" />`,
  down: html`<path d="M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11" class="line" />`,
  deliveries: html`<path d="M1.5 8h9M7.5 4.5L11 8l-3.5 3.5M14 2.5v11" class="line" />`,
  left: html`<path d="M10 3L5 8l5 5" class="line" />`,
  clock: html`
    <circle cx="8" cy="8" r="6.4" class="line" />
    <path d="M8 4.2V8l2.6 1.8" class="line" />
  `,
  check: html`<path d="M2.5 8.5l3.8 3.8 7.2-8" class="line" />`,
  theme: html`
    <circle cx="8" cy="8" r="6.2" class="line" />
    <path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor" />
  `,
  help: html`
    <circle cx="8" cy="8" r="6.4" class="line" />
    <path d="M6 6.2A2 2 0 1 1 8.4 8.1c-.3.1-.4.4-.4.7v.6M8 11v1" class="line" />
  `,
  copy: html`
    <rect x="5.5" y="5.5" width="8" height="8.5" rx="1.2" class="line" />
    <path d="M3.8 10.5H2.5v-8h7v1.3" class="line" />
  `,
  logout: html`<path d="M6 2H2.5v12H6M10.5 4.8L13.7 8l-3.2 3.2M13.5 8H6" class="line" />`,
};
SHAPES.critical = SHAPES.unavailable;
SHAPES.warning = SHAPES.degraded;

export function Icon({ name, size = 16 }) {
  return html`
    <svg class="icon" viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true" focusable="false">
      ${SHAPES[name]}
    </svg>
  `;
}
