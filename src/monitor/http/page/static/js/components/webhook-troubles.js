/** What went wrong with a webhook: its alerts and its anomalies. */

import { api } from "../api.js";
import { onFrame } from "../board.js";
import { useFrames, useLoad, useNow } from "../hooks.js";
import { html } from "../html.js";
import { AlertLine } from "./alert-line.js";
import { AnomalyLine } from "./anomaly-line.js";
import { Empty, Loaded } from "./states.js";

const REFRESH_MS = 15_000;

export function Troubles({ webhook }) {
  const now = useNow();
  const load = useLoad(
    async (signal) => {
      const [alerts, open, closed] = await Promise.all([
        api.alerts({ webhook_id: webhook.id, state: "all", limit: 10 }, signal),
        api.anomalies({ webhook_id: webhook.id, limit: 10 }, signal),
        api.anomalies({ webhook_id: webhook.id, state: "closed", limit: 10 }, signal),
      ]);
      return { alerts: alerts.items, anomalies: [...open.items, ...closed.items].slice(0, 10) };
    },
    [webhook.id],
    { everyMs: REFRESH_MS },
  );
  useFrames(onFrame, ({ type, data }) => {
    if (/^(alert|anomaly)_/.test(type) && data.webhook_id === webhook.id) load.reload();
  });
  return html`
    <div class="columns">
      <section class="panel" aria-labelledby="its-alerts">
        <header class="panel-head">
          <h2 id="its-alerts">Alerts</h2>
          <a href=${`#/alerts?webhook=${webhook.id}&state=all`}>All alerts</a>
        </header>
        <${Loaded}
          load=${load}
          isEmpty=${(data) => !data.alerts.length}
          empty=${html`<${Empty} title="No alerts" icon="healthy" />`}
        >
          ${({ alerts }) => html`
            <ul class="list">
              ${alerts.map((alert) => html`<${AlertLine} key=${alert.id} alert=${alert} isStated=${true} />`)}
            </ul>
          `}
        <//>
      </section>
      <section class="panel" aria-labelledby="its-anomalies">
        <header class="panel-head">
          <h2 id="its-anomalies">Anomalies</h2>
        </header>
        <${Loaded}
          load=${load}
          isEmpty=${(data) => !data.anomalies.length}
          empty=${html`<${Empty} title="No anomalies" icon="healthy" />`}
        >
          ${({ anomalies }) => html`
            <ul class="list">
              ${anomalies.map((anomaly) => html`
                <${AnomalyLine} key=${anomaly.id} anomaly=${anomaly} now=${now} isNamed=${false} />
              `)}
            </ul>
          `}
        <//>
      </section>
    </div>
  `;
}
