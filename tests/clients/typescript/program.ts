// Calls every operation by a client whose types were generated, and prints those that it called, one a line.
import { readFileSync } from "node:fs";
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./monitor.js";

type Schemas = components["schemas"];
type Stage = {
  url: string;
  token: string;
  receiver: string;
  now: string;
  ids: Record<
    "webhook_id" | "event_id" | "delivery_id" | "attempt_id" | "alert_id" | "silence_id" | "replay_id" | "job_id",
    string
  >;
};

const stage: Stage = JSON.parse(readFileSync(process.argv[2]!, "utf-8"));
const { webhook_id, event_id, delivery_id, attempt_id, alert_id, silence_id, replay_id, job_id } = stage.ids;
const at = (seconds: number): string => new Date(Date.parse(stage.now) + seconds * 1000).toISOString();

const called = new Set<string>();
const note: Middleware = {
  onRequest({ request, schemaPath }) {
    called.add(`${request.method} ${schemaPath}`);
  },
};
const client = createClient<paths>({ baseUrl: stage.url, headers: { Authorization: `Bearer ${stage.token}` } });
client.use(note);

/** What an operation answered; an error if it was a problem. */
async function ok<T>(answer: Promise<{ data?: T; error?: Schemas["Problem"]; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) throw new Error(`${response.url} ${response.status}: ${error?.detail}`);
  return data as T;
}

function check(holds: boolean, complaint: string): void {
  if (!holds) throw new Error(complaint);
}

const webhook = { params: { path: { webhook_id } } };
const event = { params: { path: { event_id } } };
const delivery = { params: { path: { delivery_id } } };
const alert = { params: { path: { alert_id } } };
const silence = { params: { path: { silence_id } } };
const job = { params: { path: { job_id } } };
const one = { params: { query: { limit: 1 } } };

// Webhooks
const spec: Schemas["NewWebhookSpec"] = {
  name: "typed",
  url: stage.receiver,
  event_types: ["order.*"],
  labels: { team: "shipping" },
  retry: { schedule_s: [0, 2.5, 60] },
  ordered: "key",
  rate_limit: { per_s: 5, burst: 10 },
};
const created = await ok(client.POST("/api/v1/webhooks", { body: spec }));
const schedule: number[] | undefined = created.retry.schedule_s;
check(JSON.stringify(schedule) === "[0,2.5,60]", `the schedule is ${schedule}`);
const theirs = { params: { path: { webhook_id: created.id } } };
const page = await ok(client.GET("/api/v1/webhooks", one));
const next: string | null | undefined = page.next_cursor;
check(page.items.length === 1 && typeof next === "string", "no page of one webhook");
await ok(client.GET("/api/v1/webhooks", { params: { query: { status: "unknown", enabled: true, q: "typed" } } }));
const { health } = await ok(client.GET("/api/v1/webhooks/{webhook_id}", theirs));
check(health.status === "unknown", `health is ${health.status}`);
await ok(client.PUT("/api/v1/webhooks/{webhook_id}", { ...theirs, body: { name: "put", url: stage.receiver } }));
const patched = await ok(client.PATCH("/api/v1/webhooks/{webhook_id}", { ...theirs, body: { timeout_s: 10 } }));
check(patched.timeout_s === 10 && patched.name === "put", "the patch changed something else");
await ok(client.POST("/api/v1/webhooks/{webhook_id}/pause", theirs));
await ok(client.POST("/api/v1/webhooks/{webhook_id}/resume", theirs));
const sent = await ok(client.POST("/api/v1/webhooks/{webhook_id}/send-now", theirs));
check(sent.hastened === 0 && sent.job === null && sent.held === null, "something waited");
const rotated = await ok(
  client.POST("/api/v1/webhooks/{webhook_id}/rotate-secret", { ...theirs, body: { overlap_s: 60 } }),
);
check(rotated.secret.startsWith("whsec_"), "no secret");
await ok(client.POST("/api/v1/webhooks/{webhook_id}/test", webhook));
const recorded = await ok(
  client.POST("/api/v1/webhooks/{webhook_id}/attempts", {
    ...webhook,
    body: { attempts: [{ delivered_at: at(0), latency_ms: 1, status_code: 200 }] },
  }),
);
check(recorded.recorded === 1, "nothing was recorded");
await ok(client.GET("/api/v1/webhooks/{webhook_id}/attempts", webhook));
await ok(
  client.GET("/api/v1/webhooks/{webhook_id}/attempts/{attempt_id}", { params: { path: { webhook_id, attempt_id } } }),
);
const metrics = await ok(client.GET("/api/v1/webhooks/{webhook_id}/metrics", webhook));
check(Array.isArray(metrics.points), "no points");
const uptime = await ok(client.GET("/api/v1/webhooks/{webhook_id}/uptime", webhook));
check(uptime.hours.length === 72 && uptime.days.length === 90, "an uptime strip has gaps");
const annotations = await ok(client.GET("/api/v1/webhooks/{webhook_id}/annotations", webhook));
check(annotations.items.at(-1)?.kind === "created", "the first annotation is not the creation");

// Events and deliveries
const order: Schemas["EventIn"] = { type: "order.paid", payload: { order: 7, total: "12.50" } };
const accepted = await ok(client.POST("/api/v1/events", { body: order }));
check("id" in accepted, "one event was answered as a batch");
const batch = await ok(client.POST("/api/v1/events", { body: { events: [order, { type: "order.sent", payload: [7] }] } }));
check("events" in batch && batch.events.length === 2, "a batch was answered as one event");
await ok(client.GET("/api/v1/events", one));
await ok(client.GET("/api/v1/events/{event_id}", event));
await ok(client.POST("/api/v1/events/{event_id}/resend", { ...event, body: {} }));
await ok(client.GET("/api/v1/deliveries", one));
await ok(client.GET("/api/v1/deliveries/{delivery_id}", delivery));
await ok(client.POST("/api/v1/deliveries/{delivery_id}/retry", delivery));
const cancelled = await ok(client.POST("/api/v1/deliveries/{delivery_id}/cancel", delivery));
check(cancelled.state === "cancelled", `the delivery is ${cancelled.state}`);
await ok(client.POST("/api/v1/deliveries/bulk", { body: { action: "retry", filter: { state: "failed" } } }));
await ok(client.POST("/api/v1/deliveries/bulk", { body: { action: "retry", filter: { ids: [delivery.params.path.delivery_id] } } }));
const range = { from: at(-3600), to: at(0) };
const count = await ok(
  client.POST("/api/v1/webhooks/{webhook_id}/replay", { ...webhook, body: { ...range, dry_run: true } }),
);
check("count" in count, "a dry run was answered as a replay");
await ok(client.GET("/api/v1/replays/{replay_id}", { params: { path: { replay_id } } }));
await ok(client.GET("/api/v1/jobs", one));
await ok(client.GET("/api/v1/jobs/{job_id}", job));
await ok(client.POST("/api/v1/jobs/{job_id}/cancel", job));

// Alerts and silences
const open = await ok(client.GET("/api/v1/alerts", { params: { query: { limit: 1, state: "all" } } }));
check(open.items[0]?.webhook_id === webhook_id, "there is no alert");
await ok(client.GET("/api/v1/alerts/{alert_id}", alert));
await ok(client.GET("/api/v1/alerts/stats/summary", { params: { query: { days: 7 } } }));
await ok(client.POST("/api/v1/alerts/{alert_id}/ack", { ...alert, body: { note: "Calling them.", expires_at: at(3600) } }));
await ok(client.POST("/api/v1/alerts/ack", { body: { ids: [alert_id] } }));
const worst = await ok(client.GET("/api/v1/alerts", { params: { query: { state: "open", sort: "worst" } } }));
check(worst.items.some((one) => one.id === alert_id), "the open alert is not in the queue");
await ok(client.POST("/api/v1/alerts/{alert_id}/comments", { ...alert, body: { text: "Looking." } }));
const unacknowledged = await ok(client.POST("/api/v1/alerts/{alert_id}/unack", { ...alert, body: { note: "Off shift." } }));
check(unacknowledged.state === "pending", `the alert is ${unacknowledged.state}`);
await ok(client.GET("/api/v1/notifications/destinations", { params: { query: { limit: 1 } } }));
check((await ok(client.GET("/api/v1/notifications/coverage"))).critical === false, "nobody subscribes");
await ok(client.POST("/api/v1/notifications/destinations/{webhook_id}/test", { params: { path: { webhook_id } } }));
const resolved = await ok(client.POST("/api/v1/alerts/{alert_id}/resolve", { ...alert, body: { note: "Fixed." } }));
check(resolved.state === "resolved", `the alert is ${resolved.state}`);
const silencing: Schemas["SilenceSpec"] = { reason: "They move.", ends_at: at(3600), kind: "volume" };
await ok(client.POST("/api/v1/silences/preview", { body: silencing }));
await ok(client.POST("/api/v1/silences", { body: silencing }));
await ok(client.GET("/api/v1/silences", one));
await ok(client.GET("/api/v1/silences/{silence_id}", silence));
const repeated: Schemas["SilenceSpec"] = {
  reason: "They restart.",
  label: "team=shipping",
  duration_s: 7200,
  recurrence: { rrule: "FREQ=WEEKLY;BYDAY=TU,TH", timezone: "Europe/Berlin" },
};
const [occurrence] = (await ok(client.POST("/api/v1/silences/preview", { body: repeated }))).occurrences ?? [];
check(occurrence !== undefined, "the preview has no occurrences");
await ok(client.POST("/api/v1/silences/{silence_id}/end-occurrence", silence));
await ok(client.DELETE("/api/v1/silences/{silence_id}", silence));

// The dashboard and the system
await ok(client.GET("/api/v1/dashboard"));
const overview = await ok(client.GET("/api/v1/dashboard/overview"));
check(!Number.isNaN(Date.parse(overview.as_of)), "no time");
await ok(client.GET("/api/v1/dashboard/performance"));
await ok(client.GET("/api/v1/dashboard/webhooks", one));
await ok(client.GET("/api/v1/dashboard/webhooks", { params: { query: { sort: "name", reverse: true, status: "paused", q: "a" } } }));
await ok(client.GET("/api/v1/dashboard/anomalies", one));
await ok(client.GET("/api/v1/dashboard/activity"));
await ok(client.GET("/api/v1/audit-log", one));
await ok(client.POST("/api/v1/tokens/revocations", { body: { jti: "leaked" } }));
const revoked = await ok(client.GET("/api/v1/tokens/revocations", one));
check(revoked.items[0]?.jti === "leaked", "no revocation");
const session = await ok(client.POST("/api/v1/session"));
check(session.role === "admin", "no role");
check((await ok(client.GET("/api/v1/session"))).subject === session.subject, "another subject");
await ok(client.DELETE("/api/v1/session"));
const stats = await ok(client.GET("/api/v1/system/stats"));
check(stats.views.every((view) => view.view !== ""), "a view without a name");
await ok(client.GET("/health/live"));
await ok(client.GET("/health/ready"));
const exposition: string = await ok(client.GET("/metrics", { parseAs: "text" }));
check(exposition.includes("monitor_"), "no metrics");

// The end of things, and an error
const { response } = await client.DELETE("/api/v1/webhooks/{webhook_id}", theirs);
check(response.status === 204, `deletion was answered ${response.status}`);
const { error } = await client.GET("/api/v1/webhooks/{webhook_id}", theirs);
check(error?.status === 404 && error.type === "urn:monitor:problem:not_found", "no problem");

for (const operation of called) console.log(operation);
