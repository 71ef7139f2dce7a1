/** What people do to a webhook. What the role may not do is not offered. */

import { api } from "../api.js";
import { useAction } from "../hooks.js";
import { html, useEffect } from "../html.js";
import { useKeys } from "../keys.js";
import { go } from "../router.js";
import { may } from "../session.js";
import { Menu } from "./menu.js";
import { openReplay } from "./replay.js";
import { toast } from "./toast.js";
import { openDelete, openRotate } from "./webhook-dialogs.js";
import { openTest } from "./webhook-test.js";

export function Actions({ webhook, onChange }) {
  const isPaused = Boolean(webhook.paused_at);
  const hold = useAction(async () => {
    await (isPaused ? api.resumeWebhook(webhook.id) : api.pauseWebhook(webhook.id));
    toast(isPaused ? "Resumed. Queued deliveries are sent, 50 a second." : "Paused. New deliveries queue up.");
    onChange();
    return true;
  });
  const silence = () => go("/silences/new", { webhook: webhook.id });
  const edit = () => go(`/webhooks/${webhook.id}/edit`);
  useKeys({
    e: () => may("admin") && edit(),
    t: () => may("operator") && openTest(webhook, onChange),
    p: () => may("operator") && !hold.isBusy && hold.run(),
    s: () => may("operator") && silence(),
    r: () => may("operator") && openReplay(webhook),
  });
  useEffect(() => {
    if (hold.problem) toast(hold.problem.message, { tone: "bad" });
  }, [hold.problem]);
  if (!may("operator")) return null;
  /** @type {Parameters<typeof Menu>[0]["items"]} */
  const items = [
    { text: isPaused ? "Resume" : "Pause", hint: "p", act: hold.run },
    { text: "Silence alerts", hint: "s", act: silence },
    { text: "Replay", hint: "r", act: () => openReplay(webhook) },
  ];
  if (may("admin")) {
    items.push(
      { text: "Edit", hint: "e", act: edit },
      { text: "Rotate secret", act: () => openRotate(webhook, onChange) },
      null,
      { text: "Delete", tone: "danger", act: () => openDelete(webhook) },
    );
  }
  return html`
    <div class="actions">
      ${isPaused && html`
        <button type="button" aria-disabled=${hold.isBusy ? "true" : undefined} onClick=${() => hold.isBusy || hold.run()}>
          Resume
        </button>
      `}
      <button type="button" class="primary" onClick=${() => openTest(webhook, onChange)}>Send test</button>
      <${Menu} label="More actions" items=${items} />
    </div>
  `;
}
