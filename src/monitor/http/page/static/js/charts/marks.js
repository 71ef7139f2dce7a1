/** Changes of a webhook as lines across its charts: a letter says which kind, the list below the charts says the rest. */

import { colour } from "../theme.js";

/** Kind of an annotation → the letter at its line, and what it says in the list. */
export const MARKS = {
  created: ["C", "Created"],
  updated: ["E", "Edited"],
  enabled: ["D", "Enabled"],
  disabled: ["D", "Disabled"],
  paused: ["P", "Paused"],
  resumed: ["P", "Resumed"],
  secret_rotated: ["S", "Secret rotated"],
  deleted: ["X", "Deleted"],
  alert_raised: ["!", "Alert"],
  alert_escalated: ["!", "Escalated"],
  alert_acknowledged: ["A", "Acknowledged"],
  alert_superseded: ["R", "Replaced"],
  alert_resolved: ["R", "Resolved"],
};

/** What the letters mean, in the order of the alphabet. */
export const KEY = {
  "!": "alert",
  A: "acknowledged",
  C: "created",
  D: "enabled or disabled",
  E: "edited",
  P: "paused or resumed",
  R: "resolved or replaced",
  S: "new secret",
  X: "deleted",
};

/** @param {{at: number, letter: string}[]} [marks] in Unix seconds */
export function drawMarks(plot, marks = []) {
  const { ctx, bbox, scales } = plot;
  const unit = devicePixelRatio;
  let lastLabel = -Infinity;
  ctx.save();
  ctx.lineWidth = unit;
  ctx.strokeStyle = colour("line-strong");
  ctx.fillStyle = colour("text");
  ctx.font = `600 ${11 * unit}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.setLineDash([2 * unit, 3 * unit]);
  for (const { at, letter } of marks.toSorted((a, b) => a.at - b.at)) {
    if (at < scales.x.min || at > scales.x.max) continue;
    const left = Math.round(plot.valToPos(at, "x", true));
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
    // Letters that would run into each other are left to the list.
    if (left - lastLabel < 11 * unit) continue;
    ctx.fillText(letter, left, bbox.top - 3 * unit);
    lastLabel = left;
  }
  ctx.restore();
}
