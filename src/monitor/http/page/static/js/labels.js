/** Labels of webhooks: conditions on events, but for that of the owner. */

export const OWNER_LABEL = "monitor.managed_by";

/** @returns {[string, string][]} what of *labels* an event must carry */
export const conditions = (labels) => Object.entries(labels).filter(([name]) => name !== OWNER_LABEL);
