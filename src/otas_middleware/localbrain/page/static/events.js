// The list of events, newest first: pages on demand, arrivals at the top; and how to play an agent while there is none.

import { address, ask, attempt, order, throttled } from "./api.js";
import { copy, h, say } from "./dom.js";
import { filterbar, filterOf } from "./filterbar.js";
import { count, latency, moment, plural, short, status } from "./format.js";
import { change, here, to } from "./route.js";

const PAGE = 100;
const MOST_NEW = 200;
const MOST_ROWS = 300; // older ones are loaded again on demand
const MOST_READ = 2000; // while somebody has scrolled down to them
const LIVE_PAUSE = 500;

function row(event, selected) {
  return h("tr", { "data-id": event.id, class: String(event.id) === selected ? "selected" : null },
    h("td", { class: "dim" }, moment(event.arrived_at, { brief: true })),
    h("td", {}, h("span", { class: "method" }, event.method)),
    h("td", { class: "path" }, h("a", { href: change({ event: event.id }), title: event.path },
      event.operation ?? (event.path || "(no path)"))),
    h("td", {}, status(event)),
    h("td", { class: "number" }, latency(event.latency_ms)),
    h("td", {}, h("a", { class: "id", href: to(`session/${encodeURIComponent(event.agent_session_id)}`) },
      short(event.agent_session_id))),
    h("td", { class: "dim" }, event.source),
    h("td", { class: "error" }, event.error));
}

async function deleteAll() {
  if (!window.confirm("Delete all events and sessions of this Brain?")) return;
  await attempt(async () => {
    await order("clear");
    say("Deleted all events and sessions.");
  });
}

/** A button that creates a session, and the command that appears then. */
export function tokenMaker() {
  const command = h("pre", { tabindex: "0", role: "region", "aria-label": "Command", hidden: true });
  const make = h("button", {
    type: "button",
    onclick: () => attempt(async () => {
      const { token } = await order("new-session");
      command.textContent = `curl -i -H 'X-OTAS-AGENT-SESSION-TOKEN: ${token}' http://localhost:8000/`;
      command.hidden = false;
      await copy(command.textContent, "the command, with a token in it");
    }),
  }, "Make a session token");
  return { make, command };
}

function welcome() {
  const { make, command } = tokenMaker();
  return h("div", { class: "welcome" },
    h("h3", {}, "Nothing has arrived yet"),
    h("ol", {},
      h("li", {}, "Paste the ", h("code", {}, "export"), " lines that ", h("code", {}, "otas-middleware brain"),
        " printed into the terminal of your application, and start it."),
      h("li", {}, "Send it a request as an agent does, with a session token: ", make, command),
      h("li", {}, "The event shows up here by itself.")));
}

/** Make the view. It answers `update(parameters)` when the address changed, and `news()` when something arrived. */
export function eventsView() {
  let filter = null;
  let newest = 0;
  let counted = { total: 0, matching: null }; // of the events up to the one with the id `total`
  let rest = null;
  let asking = new AbortController();

  const bar = filterbar();
  const counter = h("p", { class: "counter", id: "counter" });
  const exports = h("p", { class: "exports" });
  const clear = h("button", { type: "button", class: "danger", onclick: deleteAll }, "Delete all events");
  clear.hidden = exports.hidden = true; // until it is known that there is something
  const body = h("tbody");
  const older = h("button", { type: "button", onclick: () => more() }, "Load older events");
  const note = h("p", { class: "note" });
  const heads = ["Arrived", "Method", "Path or operation", "Status", "Latency", "Session", "From", "Error"];
  const list = h("table", { class: "list" }, h("caption", { class: "hidden" }, "Events, newest first"),
    h("thead", {}, h("tr", {}, heads.map((name) =>
      h("th", { scope: "col", class: name === "Latency" ? "number" : null }, name)))), body);
  const empty = h("div", { class: "empty" });
  const scroller = h("div", { class: "scroller" }, list, empty, note, older);
  const element = h("section", { "aria-labelledby": "title" },
    h("div", { class: "toolbar" }, h("h2", { id: "title", class: "hidden" }, "Events"), bar.form,
      h("div", { class: "about" }, counter, exports, clear)),
    scroller);

  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && rest !== null) more();
  }, { rootMargin: "400px" }).observe(older);

  body.addEventListener("click", (event) => {
    if (!event.target.closest("a")) event.target.closest("tr")?.querySelector(".path a").click();
  });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    const at = event.target.closest("tr");
    if (!step || !at || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = step > 0 ? at.nextElementSibling : at.previousElementSibling;
    next?.querySelector(".path a").focus();
    event.preventDefault();
  });

  /** Give the focus to the row of an event. */
  function focus(id) {
    body.querySelector(`tr[data-id="${CSS.escape(id)}"] .path a`)?.focus();
  }

  async function load() {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    newest = 0;
    rest = null;
    counted = { total: 0, matching: null };
    await firstPage(signal);
  }

  async function firstPage(signal) {
    const first = await ask("events", { ...filter, limit: PAGE }, signal);
    newest = first.total;
    const focused = body.contains(document.activeElement) && document.activeElement.closest("tr").dataset.id;
    body.replaceChildren(...first.events.map((event) => row(event, here().parameters.event)));
    if (focused) focus(focused);
    rest = first.next;
    settle();
    await Promise.all([tally(first, signal), fill(signal)]);
  }

  /** A search through bodies comes in pieces, many of them empty: go on until a page is full or the end is reached. */
  async function fill(signal, least = PAGE) {
    while (rest !== null && body.childElementCount < least) {
      const asked = rest;
      note.textContent = `Searched back to event ${count(asked)} …`;
      const page = await ask("events", { ...filter, before: asked, limit: PAGE }, signal);
      if (rest !== asked) return;
      body.append(...page.events.map((event) => row(event, here().parameters.event)));
      rest = page.next;
    }
    settle();
  }

  async function more() {
    if (older.disabled) return;
    older.disabled = true;
    await attempt(() => fill(asking.signal, body.childElementCount + 1));
    older.disabled = false;
  }

  /** Show how many there are; only what the first page does not tell is asked for. */
  async function tally(first, signal) {
    const isKnown = first.matching !== null || (filter.everywhere && filter.q);
    const { total, matching } = isKnown ? first : await ask("count", filter, signal);
    const since = [...body.rows].filter((shown) => Number(shown.dataset.id) > total).length; // it was asked
    showCount({ total: Math.max(total, newest), matching: matching === null ? null : matching + since });
  }

  function showCount(known) {
    counted = known;
    const { total, matching } = known;
    const isAll = matching === total;
    counter.textContent = isAll ? plural(total, "event")
      : matching === null ? `of ${plural(total, "event")}` : `${count(matching)} of ${plural(total, "event")}`;
    if (total === 0 && !empty.hasChildNodes()) empty.append(welcome());
    else if (total > 0) empty.replaceChildren();
    list.hidden = total === 0;
    clear.hidden = exports.hidden = total === 0;
    note.hidden = total === 0;
  }

  function settle() {
    older.hidden = rest === null;
    note.textContent = rest !== null || body.childElementCount ? "" : "No event matches. Remove a filter to see more.";
  }

  const arrive = throttled(() => attempt(async () => {
    const { signal } = asking;
    if (newest === 0) {
      await load();
      return;
    }
    const page = await ask("events", { ...filter, after: newest, limit: MOST_NEW }, signal);
    if (signal.aborted) return;
    if (page.next !== null || page.total < newest) {
      await load(); // so many that there would be a gap, or all were deleted
      return;
    }
    newest = page.total;
    body.prepend(...page.events.map((event) => row(event, here().parameters.event)));
    trim();
    const since = page.events.filter((event) => event.id > counted.total).length;
    showCount({
      total: Math.max(page.total, counted.total),
      matching: counted.matching === null ? null : counted.matching + since,
    });
  }), LIVE_PAUSE);

  /** Forget the oldest rows; they are loaded again on demand. */
  function trim() {
    const most = scroller.scrollTop > 0 ? MOST_READ : MOST_ROWS;
    while (body.childElementCount > most) {
      body.lastElementChild.remove();
      rest = Number(body.lastElementChild.dataset.id);
      older.hidden = false;
    }
  }

  return {
    element,
    title: "Events",
    news: arrive,
    update(present) {
      const wanted = filterOf(present);
      bar.update(present);
      for (const at of body.querySelectorAll("tr")) at.classList.toggle("selected", at.dataset.id === present.event);
      for (const link of body.querySelectorAll(".path a")) {
        link.setAttribute("href", change({ event: link.closest("tr").dataset.id }));
      }
      if (JSON.stringify(wanted) === JSON.stringify(filter)) return;
      filter = wanted;
      exports.replaceChildren("Export ",
        h("a", { href: address("export.json", filter), download: "otas-events.json" }, "JSON"), " ",
        h("a", { href: address("export.har", filter), download: "otas-events.har" }, "HAR"));
      attempt(load);
    },
    focus,
  };
}
