// The list of sessions.

import { ask, attempt, throttled } from "./api.js";
import { h, table } from "./dom.js";
import { tokenMaker } from "./events.js";
import { count, moment, short } from "./format.js";
import { to } from "./route.js";
import { agentOf } from "./session.js";

const LIVE_PAUSE = 500;

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
    h("td", { class: "dim" }, moment(session.began ?? session.created_at, { brief: true })),
    h("td", { class: "dim" }, moment(session.latest, { brief: true })),
    h("td", { class: "number" }, count(session.events)),
    h("td", { class: session.errors ? "number error" : "number dim" }, count(session.errors)),
    h("td", { class: "path dim", title: session.meta }, session.meta === "{}" ? "" : session.meta));

  function draw() {
    older.hidden = rest === null;
    const columns = ["Session", "Agent", "Began", "Latest", { name: "Events", number: true },
      { name: "Errors", number: true }, "Given by the agent"];
    const drawn = table("Sessions, latest activity first", columns, rows);
    drawn.classList.add("sessions");
    place.replaceChildren(rows.length ? drawn
      : h("p", { class: "note" }, "No session yet. An agent opens one with its key; the button above opens one to try things with."),
    older);
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
