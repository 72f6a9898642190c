// Who sends to this Brain, and what it refused.

import { ask, order } from "./api.js";
import { h, say, table } from "./dom.js";
import { count, moment, share, short } from "./format.js";
import { throttled } from "./live.js";

const LIVE_PAUSE = 1000;
const QUIET_SECONDS = 300;

function senderRow(sender) {
  const isQuiet = Date.now() / 1000 - sender.last > QUIET_SECONDS;
  return h("tr", {},
    h("td", {}, h("span", { class: isQuiet ? "dot quiet" : "dot" }), isQuiet ? " quiet" : " active"),
    h("td", {}, sender.source),
    h("td", { class: "path" }, sender.source === "agent" ? sender.owner || short(sender.agent) : sender.host || "–"),
    h("td", {}, sender.framework || "–"),
    h("td", {}, [sender.sdk, sender.version].filter(Boolean).join(" ") || "not named"),
    h("td", { class: "number" }, count(sender.events)),
    h("td", { class: sender.errors ? "number error" : "number dim" }, share(sender.errors, sender.events)),
    h("td", { class: "dim" }, moment(sender.first)),
    h("td", { class: "dim" }, moment(sender.last)));
}

function refusalRow(refusal) {
  return h("tr", {},
    h("td", { class: "dim" }, moment(refusal.last)),
    h("td", {}, refusal.status || "none"),
    h("td", { class: "error" }, refusal.reason),
    h("td", {}, refusal.path),
    h("td", { class: "dim" }, refusal.sender || "–"),
    h("td", { class: "number" }, count(refusal.count)));
}

export function sendersView() {
  const known = h("div");
  const refused = h("div");
  const clear = h("button", {
    type: "button", class: "danger",
    onclick: async () => {
      if (!window.confirm("Delete all events and sessions of this Brain?")) return;
      try {
        await order("clear");
        say("Deleted all events and sessions.");
      } catch {
        say("The Brain does not answer.");
      }
    },
  }, "Delete all events");
  const element = h("section", { "aria-labelledby": "title" },
    h("div", { class: "toolbar" }, h("h2", { id: "title" }, "Senders"), clear),
    h("div", { class: "scroller" }, known, h("h3", {}, "Refused since this Brain was started"), refused));

  const refresh = throttled(async () => {
    try {
      const data = await ask("senders");
      const number = (name) => ({ name, number: true });
      known.replaceChildren(data.senders.length ? table("Senders, latest first", ["State", "Kind", "Application or agent",
        "Framework", "Package", number("Events"), number("Error rate"), "First", "Latest"], data.senders.map(senderRow))
        : h("p", { class: "note" }, "Nobody has sent anything yet."));
      refused.replaceChildren(data.refused.length ? table("Refused requests by reason", ["Latest", "Status", "Reason",
        "Endpoint", "Sender", number("Times")], data.refused.map(refusalRow)) : h("p", { class: "note" }, "Nothing."));
    } catch {
      say("The Brain does not answer.");
    }
  }, LIVE_PAUSE);
  refresh();
  return { element, title: "Senders", news: refresh, update() {}, focus() {} };
}
