// The list of sessions, and one session as a timeline.

import { ask, Refused } from "./api.js";
import { h, say, table } from "./dom.js";
import { count, latency, moment, plural, short, status } from "./format.js";
import { throttled } from "./live.js";
import { change, to } from "./route.js";
import { marked } from "./text.js";
import { tokenMaker } from "./welcome.js";

const LIVE_PAUSE = 500;

async function attempt(task) {
  try {
    await task();
  } catch (error) {
    say(error instanceof Refused ? error.message : "The Brain does not answer.");
  }
}

const agentOf = (session) => session.agent_name || (session.agent ? short(session.agent) : "–");

export function sessionsView() {
  let shown = 0;
  const place = h("div", { class: "scroller" });
  const older = h("button", { type: "button", hidden: true, onclick: () => attempt(more) }, "Load older sessions");
  const { make, command } = tokenMaker();
  const element = h("section", { "aria-labelledby": "title" },
    h("div", { class: "toolbar" }, h("h2", { id: "title" }, "Sessions"), make, command), place);
  let rows = [];
  let rest = null;

  const row = (session) => h("tr", {},
    h("td", {}, h("a", { class: "id", href: to(`session/${encodeURIComponent(session.id)}`) }, short(session.id))),
    h("td", {}, agentOf(session)),
    h("td", { class: "dim" }, moment(session.began ?? session.created_at)),
    h("td", { class: "dim" }, moment(session.latest)),
    h("td", { class: "number" }, count(session.events)),
    h("td", { class: session.errors ? "number error" : "number dim" }, count(session.errors)),
    h("td", { class: "path dim", title: session.meta }, session.meta === "{}" ? "" : session.meta));

  function draw() {
    older.hidden = rest === null;
    const columns = ["Session", "Agent", "Began", "Latest", { name: "Events", number: true },
      { name: "Errors", number: true }, "What the agent says of it"];
    const drawn = table("Sessions, latest activity first", columns, rows);
    drawn.classList.add("sessions");
    place.replaceChildren(rows.length ? drawn
      : h("p", { class: "note" }, "No session yet."), older);
  }

  async function load() {
    const page = await ask("sessions");
    if (shown > page.sessions.length) return; // older pages are open: leave them alone
    rows = page.sessions.map(row);
    rest = page.next;
    draw();
  }

  async function more() {
    const page = await ask("sessions", rest);
    rows.push(...page.sessions.map(row));
    shown = rows.length;
    rest = page.next;
    draw();
  }

  const refresh = throttled(() => attempt(load), LIVE_PAUSE);
  refresh();
  return { element, title: "Sessions", news: refresh, update() {}, focus() {} };
}

/** How deep each event is nested, by the ids that senders give to events and to their parents. */
function depths(events) {
  const byId = new Map(events.filter((event) => event.own_id).map((event) => [event.own_id, event]));
  return events.map((event) => {
    let depth = 0;
    for (let at = byId.get(event.parent_id); at && at !== event && depth < 6; at = byId.get(at.parent_id)) depth += 1;
    return depth;
  });
}

export function sessionView(id) {
  let events = [];
  let rest = null;
  const head = h("div", { class: "toolbar" }, h("h2", { id: "title" }, `Session ${short(id)}`));
  const place = h("div", { class: "scroller" });
  const element = h("section", { "aria-labelledby": "title" }, head, place);
  const more = h("button", { type: "button", onclick: () => attempt(() => load()) }, "Load later events");

  function bar(event, depth, start, span) {
    const length = typeof event.latency_ms === "number" ? event.latency_ms / 1000 : 0;
    const mark = h("span", { class: `bar${event.error ? " failed" : ""} ${event.source}` });
    mark.style.setProperty("--from", (event.began - start) / span);
    mark.style.setProperty("--length", length / span);
    const name = h("a", { href: change({ event: event.id }), title: event.path },
      h("span", { class: "method" }, event.method), " ", event.path);
    name.style.setProperty("--depth", depth);
    return h("tr", { "data-id": event.id },
      h("td", { class: "number dim" }, `+${latency(Math.max(0, (event.began - start) * 1000))}`),
      h("td", { class: "path" }, name),
      h("td", {}, status(event.status_code)),
      h("td", { class: "track" }, mark),
      h("td", { class: "number" }, latency(event.latency_ms)));
  }

  function draw(session) {
    const inOrder = events.toSorted((one, other) => one.began - other.began);
    const start = inOrder[0]?.began ?? 0;
    const ends = events.map((event) =>
      event.began + (typeof event.latency_ms === "number" ? event.latency_ms / 1000 : 0));
    const span = Math.max(0.001, Math.max(...ends) - start);
    const nested = depths(inOrder);
    head.replaceChildren(
      h("h2", { id: "title" }, "Session ", h("span", { class: "id" }, id)),
      h("p", { class: "about" },
        h("span", {}, `${agentOf(session)} · ${plural(session.events, "event")} · ${plural(session.errors, "error")} · began `,
          moment(session.began ?? session.created_at)),
        h("a", { href: to("events", { session: id }) }, "as a list")),
      session.meta && session.meta !== "{}" ? h("code", { class: "meta" }, marked(session.meta)) : "");
    const columns = [{ name: "Began", number: true }, "Request", "Status", "Timeline", { name: "Latency", number: true }];
    more.hidden = rest === null;
    const rows = inOrder.map((event, index) => bar(event, nested[index], start, span));
    const drawn = table("Events of the session in the order in which they began", columns, rows);
    drawn.classList.add("timeline");
    place.replaceChildren(events.length ? drawn : h("p", { class: "note" }, "No event yet."), more);
  }

  async function load() {
    const page = await ask("session", { id, after: events.at(-1)?.id ?? 0 });
    events.push(...page.events);
    rest = page.next;
    draw(page.session);
  }

  const refresh = throttled(() => attempt(async () => {
    if (rest === null) await load();
  }), LIVE_PAUSE);
  refresh();
  return {
    element, title: `Session ${short(id)}`, news: refresh,
    update(present) {
      for (const at of place.querySelectorAll("tr")) at.classList.toggle("selected", at.dataset.id === present.event);
    },
    focus: (event) => place.querySelector(`tr[data-id="${CSS.escape(event)}"] a`)?.focus(),
  };
}
