/** What is drawn behind the series of a chart: spans of anomalies, and the band of what is normal. */

import { colour } from "../theme.js";

export function drawBehind(plot, { band, spans = [] }) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const span of spans) drawSpan(plot, span);
  if (band) drawBand(plot, band);
  ctx.restore();
}

function drawSpan({ ctx, bbox, scales, valToPos }, { from, to }) {
  const left = valToPos(Math.max(from, scales.x.min), "x", true);
  const right = valToPos(Math.min(to, scales.x.max), "x", true);
  if (right < bbox.left || left > bbox.left + bbox.width) return;
  ctx.fillStyle = colour("span");
  ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
  // An edge, so that the span shows without its colour too.
  ctx.fillStyle = colour("tone-bad");
  ctx.fillRect(left, bbox.top, 2, bbox.height);
}

function drawBand({ ctx, bbox, scales, valToPos }, { low, high, line, scale = "y" }) {
  const { min, max } = scales[scale];
  if (min === null || min === undefined) return;
  const clamp = (value) => Math.min(Math.max(value, min), max);
  const right = bbox.left + bbox.width;
  if (high !== null) {
    const top = valToPos(clamp(high), scale, true);
    const bottom = valToPos(clamp(low), scale, true);
    ctx.fillStyle = colour("band");
    ctx.fillRect(bbox.left, top, bbox.width, Math.max(bottom - top, 2));
  }
  if (line !== null && line !== undefined && line >= min && line <= max) {
    const y = valToPos(line, scale, true);
    ctx.strokeStyle = colour("band-line");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
  }
}
