// The page: which view is shown, which event is open, and the keys that work everywhere.

import { attempt, listen, order } from "./api.js";
import { $, say } from "./dom.js";
import { eventsView } from "./events.js";
import { change, go, here } from "./route.js";

const THEMES = ["system", "light", "dark"];

let shown = null; // the view's name
let view = null;
let opened = ""; // the event's id
let opening = new AbortController();

/** Make a view. What the first one does not need is loaded when it is asked for. */
async function make(name) {
  if (name.startsWith("session/")) {
    return (await import("./session.js")).sessionView(decodeURIComponent(name.slice("session/".length)));
  }
  if (name === "sessions") return (await import("./sessions.js")).sessionsView();
  if (name === "senders") return (await import("./senders.js")).sendersView();
  if (name === "charts") return (await import("./charts.js")).chartsView();
  return eventsView();
}

function unreachable() {
  say("The Brain does not answer.");
}

async function show() {
  const { view: name, parameters } = here();
  if (name !== shown) {
    shown = name;
    const made = await make(name).catch(unreachable);
    if (shown !== name || !made) return; // another one was asked for meanwhile, or there is nobody to ask
    view?.leave?.();
    view = made;
    $("view").replaceChildren(view.element);
    document.title = `${view.title} · local Brain`;
    for (const link of document.querySelectorAll("nav a")) {
      const isHere = name.startsWith("session/") ? link.dataset.view === "sessions" : link.dataset.view === name;
      if (isHere) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    listen(() => view.news());
  }
  view?.update(parameters);
  showEvent(parameters.event ?? "");
}

function showEvent(id) {
  if (id === opened) return;
  const before = opened;
  opened = id;
  opening.abort();
  opening = new AbortController();
  if (id) {
    $("columns").classList.add("split");
    const { signal } = opening;
    import("./event.js").then(({ openEvent }) => openEvent(id, signal), unreachable);
  } else {
    $("columns").classList.remove("split");
    $("detail").hidden = true;
    $("detail").replaceChildren();
    view?.focus(before);
  }
}

function nextTheme() {
  const { dataset } = document.documentElement;
  dataset.theme = THEMES[(THEMES.indexOf(dataset.theme ?? "system") + 1) % THEMES.length];
  try {
    localStorage.setItem("theme", dataset.theme);
  } catch {
    say("The browser does not keep this choice.");
  }
  nameTheme();
  view?.recolor?.();
}

function nameTheme() {
  $("theme").textContent = `Theme: ${document.documentElement.dataset.theme ?? "system"}`;
}

/** Whether a key goes to the first row: from the search, or where nothing has the focus. */
function entersList({ key, target, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey) return false;
  return key === "ArrowDown" ? target === document.body || target.matches("input[type=search]")
    : key === "j" && target === document.body;
}

/** Where others can reach the Brain, it asks for its access token, once. */
function guard() {
  const dialog = $("access");
  addEventListener("access-needed", () => { if (!dialog.open) dialog.showModal(); });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      await order("access", { token: new FormData(event.target).get("token") });
      location.reload();
    });
  });
}

addEventListener("hashchange", show);
addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && opened) go(change({ event: "" }));
  else if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("input[type=search]");
    search?.focus();
    search?.select();
    if (search) event.preventDefault();
  } else if (entersList(event)) {
    document.querySelector("table.list tbody a")?.focus();
    event.preventDefault();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view?.recolor?.());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind the "#" says what is shown
  $("view").focus();
});
$("theme").addEventListener("click", nextTheme);
nameTheme();
guard();
show();
