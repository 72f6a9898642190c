// Who sends to this Brain, what it refused, and what came for Agnost.

import { ask, attempt, throttled } from "./api.js";
import { h, table } from "./dom.js";
import { count, latency, moment, plural, share, short } from "./format.js";
import { to } from "./route.js";

const LIVE_PAUSE = 1000;
const QUIET_SECONDS = 300;
const QUIET_CHECK = 60_000; // silence is no news

function senderRow(sender, now) {
  const isQuiet = now - sender.last > QUIET_SECONDS;
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

/** What was refused. The doctor asks about a key without a token, and so without an event: nothing is wrong then. */
function refusalRow(refusal) {
  const isProbe = refusal.sender.endsWith(" doctor");
  return h("tr", {},
    h("td", { class: "dim" }, moment(refusal.last)),
    h("td", {}, refusal.status || "none"),
    h("td", { class: isProbe ? "dim" : "error" }, isProbe ? `${refusal.reason} (a question of the doctor's)` : refusal.reason),
    h("td", {}, refusal.path),
    h("td", { class: "dim" }, refusal.sender || "–"),
    h("td", { class: "number" }, count(refusal.count)));
}

/** An event that Agnost would show. Sessions whose ids are UUIDs have the same id here. */
function agnostRow(record) {
  return h("tr", {},
    h("td", { class: "dim" }, moment(record.arrived_at)),
    h("td", { class: "path", title: record.name }, record.name),
    h("td", { class: record.success ? "" : "error" }, record.success ? "success" : "failure"),
    h("td", { class: "number" }, latency(record.latency)),
    h("td", {}, h("a", { class: "id", href: to(`session/${encodeURIComponent(record.session)}`) }, short(record.session))),
    h("td", { class: "error", title: record.problem }, record.problem));
}

function agnostPart(records) {
  if (!records.events && !records.sessions) return [];
  const columns = ["Arrived", "Call", "Outcome", { name: "Latency", number: true }, "Session", "Problem"];
  return [
    h("h3", {}, `Agnost: ${plural(records.events, "event")} of ${plural(records.sessions, "session")}`),
    records.latest.length ? table("Agnost's latest events", columns, records.latest.map(agnostRow)) : ""];
}

export function sendersView() {
  const known = h("div");
  const refused = h("div");
  const agnost = h("div");
  const element = h("section", { "aria-labelledby": "title" },
    h("div", { class: "toolbar" }, h("h2", { id: "title" }, "Senders")),
    h("div", { class: "scroller senders" }, known, h("h3", {}, "Refused since this Brain was started"), refused, agnost));

  const refresh = throttled(() => attempt(async () => {
    const [data, records] = await Promise.all([ask("senders"), ask("agnost")]);
    const number = (name) => ({ name, number: true });
    known.replaceChildren(data.senders.length ? table("Senders, latest first", ["State", "Kind", "Application or agent",
      "Framework", "Package", number("Events"), number("Error rate"), "First", "Latest"], data.senders.map((sender) => senderRow(sender, data.now)))
      : h("p", { class: "note" }, "Nobody has sent anything yet. An application sends when OTAS_SDK_KEY and OTAS_BRAIN_URL are set in it, and an agent "
        + "calls it; otas-middleware doctor says what is missing."));
    refused.replaceChildren(data.refused.length ? table("Refused requests by reason", ["Latest", "Status", "Reason",
      "Endpoint", "Sender", number("Times")], data.refused.map(refusalRow)) : h("p", { class: "note" }, "Nothing was refused."));
    agnost.replaceChildren(...agnostPart(records));
  }), LIVE_PAUSE);
  refresh();
  const checking = setInterval(refresh, QUIET_CHECK);
  return { element, title: "Senders", news: refresh, update() {}, focus() {}, leave: () => clearInterval(checking) };
}
