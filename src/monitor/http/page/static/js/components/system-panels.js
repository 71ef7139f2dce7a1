/** The database and its sessions, the process that answers, and what is kept for how long. */

import { ago, bytes, count, duration, plural, precisely } from "../format.js";
import { useNow } from "../hooks.js";
import { html } from "../html.js";
import { Icon } from "./icons.js";

function Fact({ name, children }) {
  return html`
    <div>
      <dt>${name}</dt>
      <dd>${children}</dd>
    </div>
  `;
}

function State({ is, yes, no }) {
  return html`
    <span class="status ${is ? "ok" : "bad"}">
      <${Icon} name=${is ? "healthy" : "unavailable"} size=${12} />
      ${is ? yes : no}
    </span>
  `;
}

export function Database({ database }) {
  const now = useNow();
  return html`
    <section class="panel" aria-labelledby="database">
      <header class="panel-head">
        <h2 id="database">Database</h2>
        <${State} is=${database && !database.read_only} yes="Connected" no=${database ? "Read-only" : "Unavailable"} />
      </header>
      ${database && html`
        <dl class="facts">
          <${Fact} name="PostgreSQL">${database.version}<//>
          <${Fact} name="Schema">${database.schema_revision ?? "none"}<//>
          <${Fact} name="Size">${bytes(database.size_bytes)}<//>
        </dl>
        <table class="table compact">
          <caption class="visually-hidden">Processes with sessions on the database</caption>
          <thead>
            <tr>
              <th scope="col">Process</th>
              <th scope="col" class="num">Sessions</th>
              <th scope="col">Since</th>
            </tr>
          </thead>
          <tbody>
            ${database.processes.map((one) => html`
              <tr key=${one.name}>
                <td class="clip mono">${one.name}</td>
                <td class="num">${count(one.sessions)}</td>
                <td>
                  <time datetime=${one.since_at} title=${precisely(one.since_at)}>${ago(one.since_at, now)}</time>
                </td>
              </tr>
            `)}
          </tbody>
        </table>
      `}
    </section>
  `;
}

const TROUBLES = {
  unreachable: "it does not answer",
  behind: "it is too far behind",
  not_a_replica: "it is no replica of this database",
  other_database: "it is another database",
  privilege: "its role lacks a privilege",
  no_primary: "the primary is a replica itself",
  conflict: "replay ended the read",
  busy: "its connections are taken",
};

const behind = ({ lag_bytes: size, lag_s: age }) =>
  `${bytes(size)} of WAL to replay${age === null ? "" : `, ${duration(age)} old`}`;

/** The replica of MONITOR_DB__READ_URL, and the reads of the process that answers. */
export function Replica({ replica }) {
  const causes = Object.entries(replica.passed_on);
  const isUpToDate = replica.lag_bytes === 0;
  return html`
    <section class="panel" aria-labelledby="replica">
      <header class="panel-head">
        <h2 id="replica">Read replica</h2>
        <${State} is=${replica.used} yes="In use" no="Not in use" />
      </header>
      <dl class="facts">
        ${replica.trouble && html`<${Fact} name="Cause">${TROUBLES[replica.trouble] ?? replica.trouble}<//>`}
        <${Fact} name="Lag">
          ${replica.lag_bytes === null ? "unknown" : isUpToDate ? "up to date" : behind(replica)}
        <//>
        <${Fact} name="Reads by the replica">${count(replica.reads)}<//>
        <${Fact} name="Reads by the primary instead">
          ${causes.length === 0 ? "none" : causes.map(([cause, n]) => html`
            <div key=${cause}>${count(n)}: ${TROUBLES[cause] ?? cause}</div>
          `)}
        <//>
      </dl>
      <p class="small muted">Heavy reads of the process that answers, since it started. The primary serves the others.</p>
    </section>
  `;
}

export function Process({ stats: { version, python, redis, tasks } }) {
  const down = Object.entries(tasks).filter(([, isUp]) => !isUp);
  return html`
    <section class="panel" aria-labelledby="process">
      <header class="panel-head">
        <h2 id="process">The process that answers</h2>
      </header>
      <dl class="facts">
        <${Fact} name="Monitor">${version}<//>
        <${Fact} name="Python">${python}<//>
        <${Fact} name="Redis">
          ${redis === null ? "not configured" : html`
            <${State} is=${redis === "connected"} yes="Connected" no="Disconnected" />
          `}
        <//>
        <${Fact} name="Background tasks">
          <${State}
            is=${down.length === 0}
            yes="All ${count(Object.keys(tasks).length)} up"
            no="${plural(down.length, "task")} down: ${down.map(([name]) => name).join(", ")}"
          />
        <//>
      </dl>
    </section>
  `;
}

const KEPT = {
  events_d: "Events",
  deliveries_d: "Finished deliveries",
  attempts_d: "Attempts, changes of health",
  minutes_d: "Figures per minute",
  hours_d: "Figures per hour",
  days_d: "Figures per day",
  audit_d: "Audit log",
  alerts_d: "Resolved alerts",
};

export function Retention({ days }) {
  return html`
    <section class="panel" aria-labelledby="retention">
      <header class="panel-head">
        <h2 id="retention">Retention</h2>
      </header>
      <dl class="facts">
        ${Object.entries(days).map(([name, n]) => html`
          <${Fact} key=${name} name=${KEPT[name] ?? name}>${plural(n, "day")}<//>
        `)}
      </dl>
    </section>
  `;
}
