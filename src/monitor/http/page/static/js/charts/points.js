/** Which values of a series are drawn as points: those that no line would show. */

/** Fewer values than this make no shape, so all of them are drawn. */
export const SPARSE = 12;

/**
 * @param {(number|null)[]} values
 * @returns {number[]} places of the values without a neighbour on either side; of all values, where there are few
 */
export function pointsOf(values) {
  const places = values.map((_, place) => place).filter((place) => isValue(values[place]));
  if (places.length < SPARSE) return places;
  return places.filter((place) => !isValue(values[place - 1]) && !isValue(values[place + 1]));
}

/**
 * @param {number[]} x starts of steps
 * @param {(number|null)[][]} series
 * @returns {[number, number][]} the spans of x in which any series has a value
 */
export function knownSpans(x, series) {
  const spans = [];
  const step = x.length > 1 ? x[1] - x[0] : 60;
  x.forEach((from, place) => {
    if (!series.some((values) => isValue(values[place]))) return;
    const last = spans.at(-1);
    if (last && last[1] >= from) last[1] = from + step;
    else spans.push([from, from + step]);
  });
  return spans;
}

const isValue = (value) => value !== null && value !== undefined;
