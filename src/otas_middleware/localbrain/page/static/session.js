// One session: what it cost in all, and its events as a timeline: their order, and the axis on which they stand.

import { ask, attempt, throttled } from "./api.js";
import { h, say, table, tile } from "./dom.js";
import { count, latency, moment, short, status, tone } from "./format.js";
import { change, to } from "./route.js";
import { marked } from "./text.js";

const DEEPEST = 6;
const SHORTEST_PAUSE = 2; // seconds
const PAUSE_SHARE = 0.2; // of the time in which something happened: longer pauses are folded
const FOLDED_SHARE = 0.04; // of that time, for each folded pause
const LIVE_PAUSE = 500;
const CLOSEST = 1 / 4096;
const LABEL = 90; // pixels that a time on the axis needs, with what keeps it apart from the next

const endOf = (event) => event.began + (typeof event.latency_ms === "number" ? event.latency_ms / 1000 : 0);

/** Events as a tree: each [event, depth] under its parent, whatever began first; siblings by their beginning. */
function inTree(events) {
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
function axisOf(events) {
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
function ticks(axis, from, to, most) {
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
  return found.filter(([place], index) => !index || place - found[index - 1][0] > (0.7 * (to - from)) / most);
}

export const agentOf = (session) => session.agent_name || (session.agent ? short(session.agent) : "–");

function totalsOf(totals) {
  const sum = (rows, name) => rows.reduce((all, row) => all + (Number(row[name]) || 0), 0);
  const models = totals.filter((row) => row.model !== null);
  const backends = totals.filter((row) => row.source === "backend");
  const rows = models.map((row) => h("tr", {},
    h("th", { scope: "row" }, String(row.model)),
    h("td", { class: "number" }, count(row.calls)),
    h("td", { class: "number" }, count(Number(row.input) || 0)),
    h("td", { class: "number" }, count(Number(row.output) || 0)),
    h("td", { class: "number" }, latency(row.latency_ms))));
  return [
    h("div", { class: "tiles small" },
      tile("Calls", count(sum(totals, "calls"))),
      tile("Errors", count(sum(totals, "errors")), sum(totals, "errors") > 0),
      tile("Time in backends", latency(sum(backends, "latency_ms"))),
      models.length ? tile("Time in models", latency(sum(models, "latency_ms"))) : null,
      models.length ? tile("Tokens in and out", `${count(sum(models, "input"))} · ${count(sum(models, "output"))}`) : null),
    rows.length > 1 ? table("Models", ["Model", { name: "Calls", number: true }, { name: "Tokens in", number: true },
      { name: "Tokens out", number: true }, { name: "Time", number: true }], rows) : null,
  ];
}

/** The part of the axis that is seen: buttons for the keyboard, dragging over the axis for the mouse. */
function lens(onChange) {
  const seen = { from: 0, to: 1 };
  const set = (from, to) => {
    const width = Math.min(1, Math.max(CLOSEST, to - from));
    seen.from = Math.min(1 - width, Math.max(0, from));
    seen.to = seen.from + width;
    onChange();
  };
  const scale = (factor) => {
    const middle = (seen.from + seen.to) / 2;
    const half = ((seen.to - seen.from) * factor) / 2;
    set(middle - half, middle + half);
  };
  const move = (share) => set(seen.from + share * (seen.to - seen.from), seen.to + share * (seen.to - seen.from));
  const button = (text, name, onclick) => h("button", { type: "button", title: name, "aria-label": name, onclick }, text);
  const bar = h("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
    button("+", "Zoom in", () => scale(0.5)), button("−", "Zoom out", () => scale(2)),
    button("←", "Earlier", () => move(-0.5)), button("→", "Later", () => move(0.5)),
    button("All", "Show all of the session", () => set(0, 1)));
  return { seen, set, bar };
}

function axisCell(axis, view, set) {
  const { from, to } = view;
  const share = (place) => (place - from) / (to - from);
  const isAtEdge = (place) => share(place) > 0.88; // its label stands before it, or it would be cut off
  const times = (width) => {
    const found = ticks(axis, from, to, Math.max(1, Math.floor(width / LABEL)));
    return found.filter(([place], index) => !isAtEdge(place) || !index
      || share(place) - share(found[index - 1][0]) > 0.25).map(([place, seconds]) => {
      const isLast = isAtEdge(place);
      const mark = h("span", { class: isLast ? "tick last" : "tick" }, seconds ? `+${latency(seconds * 1000)}` : "0");
      mark.style.setProperty("--from", share(place));
      return mark;
    });
  };
  const folds = axis.folded.filter((one) => one.right >= from && one.left <= to).map((one) => {
    const text = `pause of ${latency(one.seconds * 1000)}`;
    const mark = h("span", { class: "fold", title: text }, h("span", { class: "hidden" }, text));
    mark.style.setProperty("--from", share(one.left));
    mark.style.setProperty("--length", (one.right - one.left) / (to - from));
    return mark;
  });
  const cell = h("div", { class: "axis" });
  new ResizeObserver(([{ contentRect }]) => cell.replaceChildren(...folds, ...times(contentRect.width))).observe(cell);
  let began = null;
  const placeOf = (event) => {
    const box = cell.getBoundingClientRect();
    return from + (to - from) * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  cell.addEventListener("pointerdown", (event) => { began = placeOf(event); cell.setPointerCapture(event.pointerId); });
  cell.addEventListener("pointerup", (event) => {
    const ended = placeOf(event);
    if (began !== null && Math.abs(ended - began) > (to - from) / 100) set(Math.min(began, ended), Math.max(began, ended));
    began = null;
  });
  return cell;
}

export function sessionView(id) {
  let events = [];
  let rest = null;
  let known = null;
  const head = h("div", { class: "toolbar" }, h("h2", { id: "title" }, `Session ${short(id)}`));
  const place = h("div", { class: "scroller" });
  const element = h("section", { "aria-labelledby": "title" }, head, place);
  const more = h("button", { type: "button", onclick: () => attempt(() => load()) }, "Load later events");
  const redraw = () => known && draw();
  const zoom = lens(redraw);

  function bar(event, axis) {
    const { from, to } = zoom.seen;
    const left = Math.max(from, axis.place(event.began));
    const right = Math.min(to, axis.place(endOf(event)));
    if (left > to || right < from) return "";
    const mark = h("span", { class: `bar ${tone(event)} ${event.source}` });
    mark.style.setProperty("--from", (left - from) / (to - from));
    mark.style.setProperty("--length", Math.max(0, right - left) / (to - from));
    return mark;
  }

  function row([event, depth], axis) {
    const name = h("a", { href: change({ event: event.id }), title: event.path }, String(event.called ?? event.path));
    name.style.setProperty("--depth", depth);
    const where = event.model ?? event.host ?? event.framework ?? "";
    return h("tr", { "data-id": event.id },
      h("td", { class: "path" }, name),
      h("td", { class: "where dim", title: String(where) }, String(where)),
      h("td", {}, status(event)),
      h("td", { class: "track" }, bar(event, axis)),
      h("td", { class: "number" }, latency(event.latency_ms)));
  }

  function draw() {
    const { session, totals } = known;
    const axis = axisOf(events);
    head.replaceChildren(
      h("h2", { id: "title" }, "Session ", h("span", { class: "id" }, id)),
      h("p", { class: "about" },
        h("span", {}, `${agentOf(session)} · began `, moment(session.began ?? session.created_at)),
        h("a", { href: to("events", { session: id }) }, "as a list")),
      session.meta && session.meta !== "{}" ? h("code", { class: "meta" }, marked(session.meta)) : "");
    more.hidden = rest === null;
    const columns = ["Call", "Application or host", "Status", { name: axisCell(axis, zoom.seen, zoom.set), class: "track" },
      { name: "Latency", number: true }];
    const drawn = table("Events of the session, each under the one that caused it", columns,
      inTree(events).map((one) => row(one, axis)));
    drawn.classList.add("timeline");
    const empty = h("p", { class: "note" }, "No event yet. Each call with this session's token shows up here by itself.");
    const focused = place.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.id : null;
    place.replaceChildren(...[...totalsOf(totals), events.length ? zoom.bar : null, events.length ? drawn : empty, more]
      .filter(Boolean));
    if (focused) focus(focused);
  }

  async function load() {
    const page = await ask("session", { id, after: events.at(-1)?.id ?? 0 });
    if (known && !page.events.length) return; // the news was another session's
    events.push(...page.events);
    rest = page.next;
    known = page;
    draw();
  }

  const focus = (event) => place.querySelector(`tr[data-id="${CSS.escape(event)}"] a`)?.focus();
  const missing = (reason) => (known ? say(reason) : place.replaceChildren(h("p", { class: "note" }, reason)));
  const refresh = throttled(() => rest === null && attempt(load, missing), LIVE_PAUSE);
  refresh();
  return {
    element, title: `Session ${short(id)}`, news: refresh,
    update(present) {
      for (const at of place.querySelectorAll("tr")) at.classList.toggle("selected", at.dataset.id === present.event);
    },
    focus,
  };
}
