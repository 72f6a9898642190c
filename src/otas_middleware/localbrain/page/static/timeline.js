// A session's events in the order in which they are shown, and the axis on which they stand.

const DEEPEST = 6;
const SHORTEST_PAUSE = 2; // seconds
const PAUSE_SHARE = 0.2; // of the time in which something happened: longer pauses are folded
const FOLDED_SHARE = 0.04; // of that time, for each folded pause

export const endOf = (event) => event.began + (typeof event.latency_ms === "number" ? event.latency_ms / 1000 : 0);

/** Events as a tree: each [event, depth] under its parent, whatever began first; siblings by their beginning. */
export function inTree(events) {
  const ids = new Set(events.map((event) => event.own_id).filter(Boolean));
  const children = new Map([[null, []]]);
  const inOrder = events.toSorted((one, other) => one.began - other.began || one.id - other.id);
  for (const event of inOrder) {
    const parent = ids.has(event.parent_id) && event.parent_id !== event.own_id ? event.parent_id : null;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(event);
  }
  const shown = [];
  const seen = new Set();
  const waiting = children.get(null).toReversed().map((event) => [event, 0]);
  const add = ([event, depth]) => {
    if (seen.has(event)) return;
    seen.add(event);
    shown.push([event, Math.min(depth, DEEPEST)]);
    const below = event.own_id ? children.get(event.own_id) ?? [] : [];
    waiting.push(...below.toReversed().map((child) => [child, depth + 1]));
  };
  while (waiting.length) add(waiting.pop());
  // Events that name one another as their parents hang from no root.
  for (const event of inOrder) {
    waiting.push([event, 0]);
    while (waiting.length) add(waiting.pop());
  }
  return shown;
}

/**
 * An axis on which long pauses are short: `place(time)` is from 0 to 1; `pieces` are its parts, {from, to, left, right},
 * in seconds and on the axis; `folded` the pauses between them.
 */
export function axisOf(events) {
  const spans = events.map((event) => [event.began, endOf(event)]).toSorted((one, other) => one[0] - other[0]);
  const merged = [];
  for (const [from, to] of spans) {
    const last = merged.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else merged.push({ from, to });
  }
  const busy = merged.reduce((sum, piece) => sum + piece.to - piece.from, 0);
  const longest = Math.max(SHORTEST_PAUSE, busy * PAUSE_SHARE);
  const pieces = [];
  for (const piece of merged) {
    const last = pieces.at(-1);
    if (last && piece.from - last.to <= longest) last.to = piece.to;
    else pieces.push({ ...piece });
  }
  const shown = pieces.reduce((sum, piece) => sum + piece.to - piece.from, 0);
  const fold = Math.max(shown * FOLDED_SHARE, 0.001);
  const whole = Math.max(0.001, shown + fold * (pieces.length - 1));
  let at = 0;
  for (const piece of pieces) {
    piece.left = at / whole;
    at += piece.to - piece.from;
    piece.right = at / whole;
    at += fold;
  }
  const folded = pieces.slice(1).map((piece, index) => (
    { seconds: piece.from - pieces[index].to, left: pieces[index].right, right: piece.left }));
  const place = (time) => {
    const piece = pieces.findLast((one) => one.from <= time) ?? pieces[0];
    if (!piece) return 0;
    const span = piece.to - piece.from;
    return span ? piece.left + (piece.right - piece.left) * Math.min(1, (time - piece.from) / span) : piece.left;
  };
  return { pieces, folded, place, start: pieces[0]?.from ?? 0 };
}

/** Round times along a part of the axis: [place, seconds since the start], some `most` of them. */
export function ticks(axis, from, to, most) {
  const inView = axis.pieces.filter((piece) => piece.right >= from && piece.left <= to && piece.to > piece.from);
  const widest = inView.reduce((best, piece) =>
    (!best || piece.right - piece.left > best.right - best.left ? piece : best), null);
  if (!widest) return [];
  const perSecond = (widest.right - widest.left) / (widest.to - widest.from);
  const least = (to - from) / most / perSecond;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((times) => times * power).find((seconds) => seconds >= least);
  const found = [];
  for (const piece of inView) {
    const offset = piece.from - axis.start;
    for (let n = Math.ceil(offset / step - 1e-9); n * step <= piece.to - axis.start + 1e-9; n += 1) {
      const place = axis.place(axis.start + n * step);
      if (place >= from && place <= to) found.push([place, n * step]);
      if (found.length > 4 * most) return found;
    }
  }
  return found.filter(([place], index) => !index || place - found[index - 1][0] > (to - from) / most / 2);
}
