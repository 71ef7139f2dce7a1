/** Jobs: work over many deliveries, its progress, and its end. */

import { api } from "../api.js";
import { ActionDialog } from "../components/dialog.js";
import { Icon } from "../components/icons.js";
import { Segments } from "../components/segments.js";
import { Empty, Loaded } from "../components/states.js";
import { toast } from "../components/toast.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { at, clockAndAge, count, plural, precisely } from "../format.js";
import { useLoad, useNow } from "../hooks.js";
import { html } from "../html.js";
import { route, setQuery } from "../router.js";
import { may } from "../session.js";
import { useStore } from "../store.js";

const KINDS = {
  replay: "Replay",
  backfill: "Backfill",
  resend: "Resending of an event",
  fan_out: "Deliveries of an event",
  cancel_deliveries: "Cancellation after a deletion",
  step_aside: "Overtaking of failing deliveries",
  bulk_retry: "Bulk retry",
  bulk_cancel: "Bulk cancellation",
  bulk_resend: "Bulk resending",
  send_now: "Sending what was queued",
};
const STATES = {
  running: ["pending", "info", "Running"],
  done: ["check", "ok", "Done"],
  cancelled: ["disabled", "none", "Cancelled"],
  failed: ["critical", "bad", "Failed"],
};

export function Jobs() {
  const { query } = useStore(route);
  const isAll = query.state === "all";
  const load = useLoad((signal) => api.jobs({ state: isAll ? "" : "running", limit: 50 }, signal), [isAll], {
    everyMs: 2_000,
  });
  return html`
    <p class="crumbs">
      <a href="#/">
        <${Icon} name="left" size=${12} /> Overview
      </a>
    </p>
    <h1 tabindex="-1">Jobs</h1>
    <div class="toolbar">
      <${Segments}
        label="Filter jobs"
        value=${isAll ? "all" : ""}
        options=${[
          ["", "Running"],
          ["all", "All"],
        ]}
        onChange=${(state) => setQuery({ state })}
      />
    </div>
    <section class="panel" aria-label="List of jobs">
      <${Loaded}
        load=${load}
        what="Reading jobs"
        isEmpty=${(page) => !page.items.length}
        empty=${html`<${Empty} title=${isAll ? "No jobs" : "No running jobs"} icon="check">
          Replays, and retries or cancellations of many deliveries, appear here while they run.
        <//>`}
      >
        ${(page) => html`
          <ul class="list">
            ${page.items.map((job) => html`<${Item} key=${job.id} job=${job} onChange=${load.reload} />`)}
          </ul>
        `}
      <//>
    </section>
  `;
}

function Item({ job, onChange }) {
  const now = useNow();
  const name = KINDS[job.kind] ?? job.kind;
  const [icon, tone, text] = STATES[job.state];
  const isRunning = job.state === "running";
  const cancel = () =>
    openDialog(() => html`
      <${ActionDialog}
        title="Cancel the job"
        verb="Cancel job"
        tone="danger"
        action=${() => api.cancelJob(job.id)}
        onClose=${closeDialog}
        onDone=${() => (closeDialog(), toast("The job is cancelled."), onChange())}
      >
        <p>
          <b>${name}</b>: ${chosen(job.parameters)}
        </p>
        <p>What it did stays done.</p>
      <//>
    `);
  return html`
    <li class="worst-row">
      <span class="status ${tone}">
        <${Icon} name=${icon} />
        ${text}
      </span>
      <div class="grow">
        <b>${name}</b>
        <p class="small muted">
          ${chosen(job.parameters)} · by ${job.created_by}
          ${job.error && html` · ${job.error}`}
        </p>
        ${isRunning && html`
          <progress
            max=${Math.max(job.total ?? 1, 1)}
            value=${job.total === null ? undefined : job.done}
            aria-label="Progress: ${name}"
          ></progress>
        `}
        <p class="small">
          ${job.total === null
            ? plural(job.done, "delivery", "deliveries")
            : `${count(job.done)} of ${plural(job.total, "delivery", "deliveries")}`}
        </p>
      </div>
      <time class="small muted" datetime=${job.created_at} title=${precisely(job.created_at)}>
        ${clockAndAge(job.created_at, now)}
      </time>
      ${isRunning && job.kind !== "cancel_deliveries" && may("operator") && html`
        <button type="button" class="small" aria-label="Cancel: ${name}" onClick=${cancel}>Cancel</button>
      `}
    </li>
  `;
}

/** Says which deliveries a job is about. */
function chosen({ filter, ...own }) {
  const conditions = Object.entries(filter ?? own).filter(
    ([name]) => !["to", "from", "to_at", "from_at"].includes(name),
  );
  const { from = null, to = null } = filter ?? { from: own.from_at, to: own.to_at };
  const words = conditions.map(
    ([name, value]) => `${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(", ") : value}`,
  );
  const range = [from && `from ${at(from)}`, to && `until ${at(to)}`].filter(Boolean).join(" ");
  return [words.join(" · ") || "every delivery", range].filter(Boolean).join(" · ");
}
