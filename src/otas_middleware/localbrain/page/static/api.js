// Questions to the Brain that serves this page.

import { say } from "./dom.js";

export class Refused extends Error {}

/** The address of an endpoint; parameters that are empty are left out. */
export function address(name, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  return `/_page/${name}${query ? `?${query}` : ""}`;
}

async function answer(response) {
  const body = await response.json();
  if (response.status === 401) dispatchEvent(new Event("access-needed"));
  if (!response.ok) throw new Refused(body.error ?? `status ${response.status}`);
  return body;
}

/** Run a task; say what went wrong instead of raising. */
export async function attempt(task) {
  try {
    await task();
  } catch (error) {
    if (error.name === "AbortError") return;
    say(error instanceof Refused ? error.message : "The Brain does not answer.");
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
