// What became of each candidate, and how to say it. Pure functions: they know no page and no canvas.

export const MOST = 500; // what the server sends at most

/** Intersection over union of two boxes [x1, y1, x2, y2]. */
export function iou(a, b) {
  const width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const both = width * height;
  return both / Math.max(area(a) + area(b) - both, 1e-9);
}

const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

/**
 * The fate of each candidate: greedy NMS for each label, as yololab/vision/suppression.py does it and to the last bit.
 * candidates: highest confidence first. Returns [{verdict, suppressor, overlap}], verdict in the server's words.
 */
export function judge(candidates, confidence, nms) {
  const least = Math.fround(confidence); // scores are float32, and numpy rounds the threshold to that
  const kept = new Map();
  return candidates.map((each, number) => {
    if (each.confidence < least) return { verdict: "below the threshold", suppressor: null, overlap: null };
    if (!kept.has(each.label)) kept.set(each.label, []);
    const rivals = kept.get(each.label);
    for (const rival of rivals) {
      const overlap = iou(each.unclipped, candidates[rival].unclipped); // clipping would change it at the border
      if (overlap > nms) return { verdict: "suppressed", suppressor: rival, overlap };
    }
    rivals.push(number);
    return { verdict: "detected", suppressor: null, overlap: null };
  });
}

/** The short name of a verdict, which CSS and the check boxes use. */
export const group = (fate) => (fate.verdict === "below the threshold" ? "below" : fate.verdict);

/** How many there are of each group. */
export function tally(fates) {
  const counts = { detected: 0, suppressed: 0, below: 0 };
  for (const fate of fates) counts[group(fate)]++;
  return counts;
}

/** "3 apple, 1 bowl": the detected objects, in the order of their confidence. */
export function objects(candidates, fates) {
  const counts = new Map();
  candidates.forEach((each, number) => {
    if (fates[number].verdict === "detected") counts.set(each.label, (counts.get(each.label) ?? 0) + 1);
  });
  return [...counts].map(([label, count]) => `${count} ${label}`).join(", ");
}

/** A number in [0, 1] with two decimals; the very small with four, which would read 0.00 otherwise. */
export const figure = (value) => value.toFixed(value < 0.00995 && value > 0 ? 4 : 2);

/** Two numbers that differ, with as many decimals as it takes to see that. */
function apart(a, b) {
  const ways = [figure, (value) => value.toFixed(4), (value) => value.toFixed(6), String];
  return ways.map((way) => [way(a), way(b)]).find(([one, other]) => one !== other) ?? [String(a), String(b)];
}

/** The verdict in a sentence. */
export function reason(candidate, fate, confidence, nms) {
  if (fate.verdict === "suppressed") {
    return `suppressed by #${fate.suppressor + 1} (${candidate.label}, overlap ${apart(fate.overlap, nms)[0]})`;
  }
  if (fate.verdict === "detected") return "detected";
  const [has, needs] = apart(candidate.confidence, confidence);
  return `below the threshold: ${has} < ${needs}, ${weakness(candidate, confidence)}`;
}

/** Which factor of confidence = objectness * class was too small. */
function weakness(candidate, confidence) {
  if (candidate.objectness < confidence) return "objectness is low"; // the surest class would not have helped
  const [rival, best] = Object.entries(candidate.others).sort((a, b) => b[1] - a[1])[0] ?? ["", 0];
  if (best > candidate.probability && best >= 0.5) return `objectness is high, but the class is rather ${rival}`;
  return "objectness is high, but the class is uncertain";
}

const TOUCHED = { detected: 0, suppressed: 1, below: 3 }; // faint outlines are everywhere: they come last
const AROUND = { detected: 2, suppressed: 4, below: 4 };

/**
 * The candidate that (x, y) points at, or null. First the nearest outline within `reach`, a detected one if there is;
 * then the smallest detected box around the point; then the surest outline of the rest, then their smallest box.
 * numbers: those that can be seen, the surest first.
 */
export function nearest(candidates, fates, numbers, x, y, reach) {
  let best = { number: null, rank: Infinity, distance: Infinity };
  for (const number of numbers) {
    const [x1, y1, x2, y2] = candidates[number].box;
    const outside = Math.max(x1 - x, x - x2, y1 - y, y - y2); // negative inside: the way to the nearest side
    if (outside > reach) continue;
    const touched = Math.abs(outside) <= reach;
    const rank = (touched ? TOUCHED : AROUND)[group(fates[number])];
    const distance = !touched ? area(candidates[number].box) : rank === TOUCHED.below ? 0 : Math.abs(outside);
    if (rank < best.rank || (rank === best.rank && distance < best.distance)) best = { number, rank, distance };
  }
  return best.number;
}

/**
 * The bars of the waterfall, ms: what the browser measured around what Server-Timing tells.
 * clock: performance.now() at the start, the answer's headers, its end, the painted frame.
 */
export function stages(header, clock) {
  const server = (header ?? "").split(",").flatMap((part) => {
    const [, name, ms] = /^\s*([\w-]+);dur=([\d.]+)/.exec(part) ?? [];
    return name && !(name === "load" && ms < 1) ? [{ name, ms: Number(ms), where: "server" }] : [];
  });
  const inside = server.reduce((sum, each) => sum + each.ms, 0);
  const [start, head, end, painted] = clock;
  let at = 0;
  return [
    { name: "network, HTTP", ms: Math.max(0, head - start - inside), where: "network" },
    ...server,
    { name: "download", ms: end - head, where: "network" },
    { name: "this page", ms: painted - end, where: "page" },
  ].map((each) => {
    const bar = { ...each, start: at };
    at += each.ms;
    return bar;
  });
}
