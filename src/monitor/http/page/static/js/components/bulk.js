/** One change of many deliveries: counted, confirmed, and followed as a job. */

import { api } from "../api.js";
import { closeDialog, openDialog } from "../dialogs.js";
import { count, plural } from "../format.js";
import { useAction, useLoad } from "../hooks.js";
import { html, useEffect, useState } from "../html.js";
import { idempotencyKey } from "../idempotency.js";
import { Dialog } from "./dialog.js";
import { FormProblem } from "./fields.js";
import { Failed, Loading } from "./states.js";

const deliveries = (n) => plural(n, "delivery", "deliveries");

const ACTIONS = {
  retry: {
    title: "Retry deliveries",
    verb: "Retry",
    tone: "",
    says: (n) => `${n} will be tried again, each with its whole retry schedule, 50 a second for each webhook.`,
    done: "are queued again",
  },
  cancel: {
    title: "Cancel deliveries",
    verb: "Cancel",
    tone: "danger",
    says: (n) => `${n} will not be tried again. An attempt in flight still ends.`,
    done: "are cancelled",
  },
  resend: {
    title: "Send deliveries again",
    verb: "Send",
    tone: "",
    says: (n) => `${n} will be sent again with the same webhook-id. Receivers that ignore it get them twice.`,
    done: "are queued again",
  },
};

/**
 * @param {"retry"|"cancel"|"resend"} action
 * @param {object} filter as `POST /deliveries/bulk` takes it; an empty one means every delivery
 * @param {string} words which deliveries, for people
 * @param {() => void} onDone called when the job was started, and when it is over
 */
export function openBulk(action, filter, words, onDone) {
  openDialog(() => html`<${Bulk} action=${action} filter=${filter} words=${words} onDone=${onDone} />`);
}

function Bulk({ action, filter, words, onDone }) {
  const { title, verb, tone, says } = ACTIONS[action];
  const body = { action, filter, all: Object.keys(filter).length === 0 };
  const load = useLoad(() => api.bulkDeliveries({ ...body, dry_run: true }), []);
  const [job, setJob] = useState(null);
  const [key] = useState(idempotencyKey);
  const start = useAction(async () => {
    setJob(await api.bulkDeliveries(body, key));
    onDone();
    return true;
  });
  if (job) return html`<${Progress} title=${title} action=${action} first=${job} onDone=${onDone} />`;
  const found = load.data && counted(load.data);
  const submit = (event) => (event.preventDefault(), start.isBusy || !load.data?.count || start.run());
  return html`
    <${Dialog} title=${title} onClose=${closeDialog}>
      <form onSubmit=${submit}>
        <div class="dialog-body">
          <p>${words}</p>
          <div aria-live="polite">
            ${load.data ? html`
              <p class="notice ${load.data.count ? "info" : ""}">
                ${load.data.count ? says(found) : "No delivery matches any more."}
              </p>
            ` : load.error ? html`<${Failed} problem=${load.error} onRetry=${load.reload} />` : html`
              <${Loading} what="Counting" lines=${1} />
            `}
          </div>
          <${FormProblem} problem=${start.problem} />
        </div>
        <footer class="dialog-foot">
          <button type="button" onClick=${closeDialog}>Close</button>
          <button class="primary ${tone}" aria-disabled=${!load.data?.count || start.isBusy ? "true" : undefined}>
            ${load.data?.count ? `${verb} ${found}` : verb}
          </button>
        </footer>
      </form>
    <//>
  `;
}

const counted = ({ count: n, complete }) => (complete ? deliveries(n) : `at least ${deliveries(n)}`);

const ENDS = { done: "Done.", cancelled: "Stopped; the rest stays as it is.", failed: "The job failed." };

function Progress({ title, action, first, onDone }) {
  const [isOver, setOver] = useState(first.state !== "running");
  const load = useLoad((signal) => api.job(first.id, signal), [first.id], { everyMs: isOver ? 0 : 1_000 });
  const job = load.data ?? first;
  useEffect(() => {
    if (job.state === "running") return;
    setOver(true);
    onDone();
  }, [job.state]);
  const stop = useAction(async () => {
    await api.cancelJob(job.id);
    load.reload();
    return true;
  });
  const of = job.total === null ? deliveries(job.done) : `${count(job.done)} of ${deliveries(job.total)}`;
  return html`
    <${Dialog} title=${title} onClose=${closeDialog}>
      <div class="dialog-body">
        <progress
          value=${job.total === null && !isOver ? undefined : job.done}
          max=${Math.max(job.total ?? job.done, 1)}
          aria-label="Progress"
        ></progress>
        <p>${of} ${ACTIONS[action].done}. ${job.error ?? ""}</p>
        <p aria-live="polite"><b>${ENDS[job.state] ?? ""}</b></p>
        ${!isOver && html`<p class="small muted">It continues when this is closed. Find it under Jobs.</p>`}
        <${FormProblem} problem=${stop.problem ?? load.error} />
      </div>
      <footer class="dialog-foot">
        <a class="button" href="#/jobs?state=all" onClick=${closeDialog}>All jobs</a>
        ${!isOver && html`
          <button type="button" class="danger" aria-disabled=${stop.isBusy ? "true" : undefined} onClick=${stop.run}>
            Stop the job
          </button>
        `}
        <button type="button" class="primary" onClick=${closeDialog}>Close</button>
      </footer>
    <//>
  `;
}
