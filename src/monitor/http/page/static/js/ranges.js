/** Over which time something is looked at: a named range that moves with now, or from one time to another. */

/**
 * Name, seconds, and seconds of one point: at most about 180 points.
 *
 * @type {[string, number, number][]}
 */
export const RANGES = [
  ["15m", 900, 60],
  ["1h", 3_600, 60],
  ["6h", 21_600, 300],
  ["24h", 86_400, 900],
  ["7d", 604_800, 3_600],
  ["30d", 2_592_000, 14_400],
];

const MOST_POINTS = 300;
const STEPS = [60, 300, 900, 3_600, 14_400, 86_400];

/**
 * @param {{range?: string, from?: string, to?: string}} query
 * @returns {{fromS: number, toS: number, stepS: number, isMoving: boolean}} whole steps; the present one
 *   included
 */
export function rangeOf({ range = "1h", from, to }) {
  if (from && to && Date.parse(from) < Date.parse(to)) {
    const [fromS, toS] = [Date.parse(from) / 1_000, Date.parse(to) / 1_000];
    const stepS = STEPS.find((step) => (toS - fromS) / step <= MOST_POINTS) ?? STEPS[STEPS.length - 1];
    return {
      fromS: Math.floor(fromS / stepS) * stepS,
      toS: Math.ceil(toS / stepS) * stepS,
      stepS,
      isMoving: false,
    };
  }
  const [, lengthS, stepS] = RANGES.find(([name]) => name === range) ?? RANGES[1];
  const toS = Math.ceil(Date.now() / 1_000 / stepS) * stepS;
  return { fromS: toS - lengthS, toS, stepS, isMoving: true };
}
