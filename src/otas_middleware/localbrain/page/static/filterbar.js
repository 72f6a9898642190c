// The form that chooses events; its state is in the address.

import { h } from "./dom.js";
import { change, go } from "./route.js";

const NAMES = ["q", "everywhere", "method", "status", "source", "slower", "session", "path", "called"];
const CHIPS = ["session", "path", "called"]; // filters without a field of their own
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TOOL"];
const STATUSES = [["error", "errors"], ["2xx"], ["3xx"], ["4xx"], ["5xx"]];
const SOURCES = [["backend", "backends"], ["agent", "agents"]];
const TYPING_PAUSE = 100;

/** The part of the address's parameters that is a filter. */
export function filterOf(parameters) {
  return Object.fromEntries(NAMES.filter((name) => parameters[name]).map((name) => [name, parameters[name]]));
}

function select(name, label, choices) {
  return h("label", {}, h("span", { class: "hidden" }, label),
    h("select", { name }, h("option", { value: "" }, `any ${label.toLowerCase()}`),
      choices.map(([value, text]) => h("option", { value }, text ?? value))));
}

function chip(name, value) {
  return h("button", {
    type: "button", class: "chip", title: `${name} ${value}`,
    onclick: () => go(change({ [name]: "" }), { replace: true }),
  }, `${name} ${name === "session" ? value.slice(0, 8) : value} `, h("span", { "aria-hidden": "true" }, "×"),
  h("span", { class: "hidden" }, "remove this filter"));
}

/** Make the form. `searchesBodies` is whether it offers to look into them, `ranges` are the time ranges it offers. */
export function filterbar({ searchesBodies = true, ranges } = {}) {
  let typing;
  let typed = -Infinity;
  const form = h("form", {
    class: "filters", role: "search", "aria-label": "Filter events",
    onsubmit: (event) => event.preventDefault(),
    oninput: (event) => {
      clearTimeout(typing);
      if (event.timeStamp - typed < TYPING_PAUSE) typing = setTimeout(apply, TYPING_PAUSE);
      else apply(); // what is pasted or chosen waits for nothing
      typed = event.timeStamp;
    },
  },
  h("label", { class: "search" }, h("span", { class: "hidden" }, "Search"),
    h("input", {
      type: "search", name: "q", maxlength: "200", autocomplete: "off", spellcheck: "false",
      placeholder: "Search path, route, error, session (/)",
    })),
  searchesBodies && h("label", { class: "check" },
    h("input", { type: "checkbox", name: "everywhere", value: "1" }),
    " in bodies and headers too"),
  select("method", "Method", METHODS.map((method) => [method])),
  select("status", "Status", STATUSES),
  select("source", "Source", SOURCES),
  h("label", {}, h("span", { class: "hidden" }, "Slower than, in milliseconds"),
    h("input", { type: "number", name: "slower", min: "0", placeholder: "over … ms" })),
  ranges && select("seconds", "Time", ranges),
  h("span", { class: "chips" }));

  function apply() {
    const chosen = Object.fromEntries(new FormData(form));
    go(change({ everywhere: "", ...chosen }), { replace: true });
  }

  const chips = form.querySelector(".chips");
  return {
    form,
    /** Show the filter that the address has, by whatever way one came there. */
    update(present) {
      for (const field of form.querySelectorAll("[name]")) {
        const value = present[field.name] ?? "";
        if (field.type === "checkbox") field.checked = Boolean(value);
        else if (field.value !== value) field.value = value;
        if (field.selectedIndex === -1) field.add(new Option(value, value, false, true));
      }
      chips.replaceChildren(...CHIPS.filter((name) => present[name])
        .map((name) => chip(name, present[name])));
    },
  };
}
