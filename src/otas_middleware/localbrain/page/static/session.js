// One session: what it cost in all, and its events as a timeline.

import { ask, attempt } from "./api.js";
import { h, table } from "./dom.js";
import { count, latency, moment, plural, short, status, tone } from "./format.js";
import { throttled } from "./live.js";
import { change, to } from "./route.js";
import { marked } from "./text.js";
import { axisOf, endOf, inTree, ticks } from "./timeline.js";

const LIVE_PAUSE = 500;
const CLOSEST = 1 / 4096;
const NARROW = "(max-width: 40rem)";

export const agentOf = (session) => session.agent_name || (session.agent ? short(session.agent) : "–");

function totalsOf(totals) {
  const sum = (rows, name) => rows.reduce((all, row) => all + (Number(row[name]) || 0), 0);
  const models = totals.filter((row) => row.model !== null);
  const backends = totals.filter((row) => row.source === "backend");
  const tile = (name, value, isBad = false) =>
    h("div", { class: isBad ? "tile bad" : "tile" }, h("span", {}, name), h("strong", {}, value));
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
  const found = ticks(axis, from, to, matchMedia(NARROW).matches ? 1 : 6);
  const isAtEdge = (place) => share(place) > 0.88; // its label stands before it, or it would be cut off
  const marks = found.filter(([place], index) => !isAtEdge(place) || !index
    || share(place) - share(found[index - 1][0]) > 0.25).map(([place, seconds]) => {
    const isLast = isAtEdge(place);
    const mark = h("span", { class: isLast ? "tick last" : "tick" }, seconds ? `+${latency(seconds * 1000)}` : "0");
    mark.style.setProperty("--from", share(place));
    return mark;
  });
  const folds = axis.folded.filter((one) => one.right >= from && one.left <= to).map((one) => {
    const text = `pause of ${latency(one.seconds * 1000)}`;
    const mark = h("span", { class: "fold", title: text }, h("span", { class: "hidden" }, text));
    mark.style.setProperty("--from", share(one.left));
    mark.style.setProperty("--length", (one.right - one.left) / (to - from));
    return mark;
  });
  const cell = h("div", { class: "axis" }, folds, marks);
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
  const zoom = lens(() => known && draw());

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
  const refresh = throttled(() => attempt(async () => {
    if (rest === null) await load();
  }), LIVE_PAUSE);
  refresh();
  return {
    element, title: `Session ${short(id)}`, news: refresh,
    update(present) {
      for (const at of place.querySelectorAll("tr")) at.classList.toggle("selected", at.dataset.id === present.event);
    },
    focus,
  };
}
