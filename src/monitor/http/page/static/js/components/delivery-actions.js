/** What can be done about one delivery: retry it, cancel it. */

import { api } from "../api.js";
import { held } from "../held.js";
import { useAction } from "../hooks.js";
import { html } from "../html.js";
import { may } from "../session.js";
import { toast } from "./toast.js";

/**
 * @param {{id: string, state: string}} delivery
 * @param {() => void} onChange
 * @returns {{buttons: any, problem: any}} buttons for what the role may do, and why the last of it failed
 */
export function useDeliveryActions(delivery, onChange) {
  const act = (call, words) => async () => {
    const changed = await call(delivery.id);
    toast(changed.held ? `${words} ${held(changed.held, Date.now())}` : words);
    onChange();
    return true;
  };
  const retry = useAction(act(api.retryDelivery, "The delivery is due now."));
  const cancel = useAction(act(api.cancelDelivery, "The delivery is cancelled."));
  // While it is busy, a button keeps the focus.
  const button = (action, text) => html`
    <button type="button" class="small" aria-disabled=${action.isBusy ? "true" : undefined} onClick=${action.run}>
      ${text}
    </button>
  `;
  const buttons = may("operator") && html`
    ${delivery.state !== "delivered" && button(retry, "Retry now")}
    ${delivery.state === "pending" && button(cancel, "Cancel")}
  `;
  return { buttons, problem: retry.problem ?? cancel.problem };
}
