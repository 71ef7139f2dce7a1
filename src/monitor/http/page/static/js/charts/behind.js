/** What is drawn behind the series of a chart: spans of anomalies, and the band of what is normal. */

import { colour } from "../theme.js";
import { knownSpans } from "./points.js";

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

/** Where nothing was measured there is no band: it would read as "all is well". */
function drawBand({ ctx, data, scales, valToPos }, { low, high, line, scale = "y" }) {
  const { min, max } = scales[scale];
  if (min === null || min === undefined) return;
  const clamp = (value) => Math.min(Math.max(value, min), max);
  const [x, ...series] = data;
  const hasLine = line !== null && line !== undefined && line >= min && line <= max;
  ctx.fillStyle = colour("band");
  ctx.strokeStyle = colour("band-line");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const [from, to] of knownSpans(x, series)) {
    const [left, right] = [valToPos(from, "x", true), valToPos(to, "x", true)];
    if (high !== null && high !== undefined) {
      const top = valToPos(clamp(high), scale, true);
      const bottom = valToPos(clamp(low), scale, true);
      ctx.fillRect(left, top, right - left, Math.max(bottom - top, 2));
    }
    if (!hasLine) continue;
    const y = valToPos(line, scale, true);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
  }
}
