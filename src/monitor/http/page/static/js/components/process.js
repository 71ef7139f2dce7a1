/** Of one process: who holds its live feeds, and what its cache saves by view. */

import { ago, count, ms, percent, plural, precisely } from "../format.js";
import { useNow } from "../hooks.js";
import { html } from "../html.js";

/** The open live feeds by user. */
export function Feeds({ stats }) {
  return html`
    <section class="panel" aria-labelledby="feeds">
      <header class="panel-head">
        <h2 id="feeds">Live feeds</h2>
        <p class="small muted">${plural(stats.sockets, "socket")} on this process</p>
      </header>
      <${Users} stats=${stats} />
    </section>
  `;
}

function Users({ stats: { sockets, users } }) {
  const now = useNow();
  return html`
    <div class="scroll-x" tabindex="0" role="region" aria-label="${plural(sockets, "live feed")} by user">
      <table class="table compact">
        <thead>
          <tr>
            <th scope="col">User</th>
            <th scope="col" class="num">Live feeds</th>
            <th scope="col">Since</th>
          </tr>
        </thead>
        <tbody>
          ${users.map(({ subject, sockets: held, since_at: since }) => html`
            <tr key=${subject}>
              <td>${subject}</td>
              <td class="num">${count(held)}</td>
              <td>
                <time datetime=${since} title=${precisely(since)}>${ago(since, now)}</time>
              </td>
            </tr>
          `)}
        </tbody>
      </table>
    </div>
  `;
}

/** Reads of each cached view, and what answered them. */
export function CachedViews({ views }) {
  return html`
    <div class="scroll-x" tabindex="0" role="region" aria-label="Cache hits by view and tier">
      <table class="table compact">
        <thead>
          <tr>
            <th scope="col">Cached view</th>
            <th scope="col" class="num">Reads</th>
            <th scope="col" class="num">Hits</th>
            <th scope="col" class="num">Memory</th>
            <th scope="col" class="num">Redis</th>
            <th scope="col" class="num">Stale</th>
            <th scope="col" class="num">Computed in</th>
          </tr>
        </thead>
        <tbody>
          ${views.map((view) => html`
            <tr key=${view.view}>
              <td>${view.view.replaceAll("_", " ")}</td>
              <td class="num">${count(view.reads)}</td>
              ${[view.hit_ratio, view.memory_ratio, view.redis_ratio, view.stale_ratio].map((ratio) => html`
                <td class="num">${percent(ratio)}</td>
              `)}
              <td class="num">${ms(view.creation_ms)}</td>
            </tr>
          `)}
        </tbody>
      </table>
    </div>
  `;
}
