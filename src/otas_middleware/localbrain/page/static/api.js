// Questions to the Brain that serves this page, and its news, by server-sent events: that something arrived, never what.

import { $, say } from "./dom.js";
import { withQuery } from "./route.js";

class Refused extends Error {}

/** The address of an endpoint. */
export const address = (name, parameters) => withQuery(`/_page/${name}`, parameters);

export const reasonOf = (error) => (error instanceof Refused ? error.message : "The Brain does not answer.");

async function answer(response) {
  const body = await response.json();
  if (response.status === 401) dispatchEvent(new Event("access-needed"));
  if (!response.ok) throw new Refused(body.error ?? `status ${response.status}`);
  return body;
}

/** Run a task; say what went wrong instead of raising. */
export async function attempt(task, complain = say) {
  try {
    await task();
  } catch (error) {
    if (error.name === "AbortError") return;
    complain(reasonOf(error));
  }
}

export async function ask(name, parameters, signal) {
  return answer(await fetch(address(name, parameters), { signal }));
}

export async function order(name, body = {}) {
  return answer(await fetch(address(name), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }));
}

let source = null;
let paused = false;
let missed = false;
let brain = null;
let listener = () => {};

function show(state, text) {
  $("live").dataset.state = state;
  $("live").textContent = text;
}

function tell() {
  missed = false;
  listener();
}

function open() {
  if (source || document.hidden) return;
  show("connecting", "connecting");
  source = new EventSource("/_page/feed");
  source.addEventListener("open", () => show(paused ? "paused" : "live", paused ? "paused" : "live"));
  source.addEventListener("error", () => show("lost", "no connection"));
  source.addEventListener("news", ({ data }) => {
    if (brain !== null && data !== brain) location.reload(); // a new one counts from 1
    brain = data;
    if (!paused) tell();
    else {
      missed = true;
      show("paused", "paused, there is news");
    }
  });
}

// A browser allows six connections to one server, and each open page holds one: a hidden page gives its own back.
// On its return the first message brings it up to date.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
  } else open();
});

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Resume" : "Pause";
  show(paused ? "paused" : "live", paused ? "paused" : "live");
  if (!paused && missed) tell();
});

/** Call `onNews` when something arrived; only the last one given is called. */
export function listen(onNews) {
  listener = onNews;
  open();
}

/** Run a task at once, and again when it was asked for meanwhile; between runs, wait as long as the last one took. */
export function throttled(task, least = 0) {
  let running = false;
  let again = false;
  return async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    do {
      again = false;
      const began = performance.now();
      await task();
      const took = performance.now() - began;
      if (again || least) await new Promise((resolve) => { setTimeout(resolve, Math.max(least, took)); });
    } while (again);
    running = false;
  };
}
