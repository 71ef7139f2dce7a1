/** The process that answers: who holds its live feeds, and what its cache saves. */

import { api } from "../api.js";
import { ago, count, ms, percent, plural, precisely } from "../format.js";
import { useLoad, useNow } from "../hooks.js";
import { html } from "../html.js";
import { Loaded } from "./states.js";

export function Process() {
  const load = useLoad((signal) => api.stats(signal), [], { everyMs: 15_000 });
  return html`
    <section class="panel" aria-labelledby="process">
      <header class="panel-head">
        <h2 id="process">The process that answers</h2>
      </header>
      <${Loaded} load=${load} what="Reading sockets and cache" lines=${3}>
        ${(stats) => html`
          <${Users} stats=${stats} />
          <${Views} views=${stats.views} />
        `}
      <//>
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

function Views({ views }) {
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
