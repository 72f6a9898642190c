// One event in full: what was asked, what was answered, what is known about it.

import { address, ask, reasonOf } from "./api.js";
import { conversationOf } from "./conversation.js";
import { $, copy, h, table } from "./dom.js";
import { bytes, count, latency, moment, short, status } from "./format.js";
import { change, go, to } from "./route.js";
import { block, marked, redactions } from "./text.js";

const LONG = 120; // characters of a path: the heading may cut what is longer
const TEXTS = ["path", "error", "query_params", "post_data", "request_headers", "request_body", "response_headers",
  "response_body"];

function section(title, ...content) {
  const shown = content.flat().filter(Boolean);
  return shown.length ? h("details", { open: true }, h("summary", {}, h("h3", {}, title)), shown) : null;
}

function facts(pairs) {
  return h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, value))));
}

/** Headers are a JSON object; anything else is shown as it came. */
function headers(text, label) {
  if (!text) return null;
  let parsed = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // not JSON
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return block(text, label);
  const rows = Object.entries(parsed).flatMap(([name, value]) => [value].flat().map((single) =>
    h("tr", {}, h("th", { scope: "row" }, marked(name)),
      h("td", {}, marked(typeof single === "string" ? single : JSON.stringify(single))))));
  return rows.length ? table(label, ["Name", "Value"], rows) : null;
}

function query(text) {
  if (!text) return null;
  const rows = [...new URLSearchParams(text)].map(([name, value]) =>
    h("tr", {}, h("th", { scope: "row" }, marked(name)), h("td", {}, marked(value))));
  return [h("h4", {}, "Query"), table("Query parameters", ["Name", "Value"], rows)];
}

function body(title, text, type, size, truncated) {
  if (!text) return size ? h("p", { class: "dim" }, `${title}: ${bytes(size)}, not recorded`) : null;
  const cut = truncated && typeof truncated === "object"
    ? ` · cut: ${bytes(Number(truncated.kept) || 0)} of ${bytes(Number(truncated.size) || 0)} recorded` : "";
  return [h("h4", {}, title, " ", h("small", {}, [type, size ? bytes(size) : ""].filter(Boolean).join(" · "), cut)),
    block(text, title)];
}

function document_(title, value) {
  const isEmpty = value === null || (typeof value === "object" && !Object.keys(value).length);
  return isEmpty ? null : section(title, block(JSON.stringify(value), title));
}

/** What a model or a tool was asked and answered, before the raw bodies. */
function conversation(found) {
  if (found === null) return null;
  const turn = (name, text) => [h("h4", {}, name), block(text, name)];
  const tokens = found.tokens.map(([name, number]) => `${count(number)} ${name}`).join(" · ");
  const kind = { model: "Model", tool: "Tool", operation: "Operation" }[found.kind];
  return h("section", { class: "conversation", "aria-label": kind },
    h("h3", {}, `${kind} `, found.title), tokens && h("p", { class: "dim" }, `Tokens: ${tokens}`),
    h("div", { class: "sides" },
      h("div", {}, found.asked.map(({ role, text }) => turn(role, text))),
      h("div", {}, found.answer && turn(found.kind === "model" ? "answer" : "result", found.answer),
        found.calls.map(({ name, input }) => turn(`calls ${name}`, input)))));
}

/** Some members of an object, if it is one. */
function described(value, names) {
  if (value === null || typeof value !== "object") return null;
  return names.map((name) => value[name]).filter((one) => ["string", "number"].includes(typeof one)).join(" · ");
}

function copyButton(what, text) {
  return h("button", { type: "button", onclick: async () => copy(await text(), what) }, `Copy ${what}`);
}

async function asHar(id) {
  return (await fetch(address("export.har", { id }))).text();
}

const exportLink = (id, kind) => h("a", { class: "button", href: address(`export.${kind}`, { id }), download: `event-${id}.${kind}` },
  `Export ${kind.toUpperCase()}`);

function content({ event, curl, python }) {
  const meta = event.metadata !== null && typeof event.metadata === "object" ? event.metadata : {};
  const truncated = meta.truncated ?? {};
  const sdk = meta.sdk ?? {};
  const masked = redactions([...TEXTS.map((name) => event[name] ?? ""),
    JSON.stringify(event.custom_properties), JSON.stringify(event.metadata)].join("\n"));
  const talk = conversation(conversationOf(event));
  return [
    h("div", { class: "actions" },
      copyButton("as curl", () => curl), copyButton("as Python", () => python), copyButton("as HAR", () => asHar(event.id)),
      exportLink(event.id, "json"), exportLink(event.id, "har"),
      h("a", { class: "button", href: to("events", { path: event.path }) }, "Same path")),
    event.error && h("p", { class: "fault" }, marked(event.error)),
    facts([
      ["Status", status(event)],
      ["Latency", latency(event.latency_ms) + (typeof meta.ttfb_ms === "number"
        ? `, first byte after ${latency(meta.ttfb_ms)}` : "")],
      ["Arrived", moment(event.arrived_at, { milliseconds: true })],
      ["Captured", typeof meta.captured_at === "string"
        ? moment(Date.parse(meta.captured_at) / 1000, { milliseconds: true }) : null],
      ["Session", h("a", { href: to(`session/${encodeURIComponent(event.agent_session_id)}`) },
        short(event.agent_session_id))],
      ["Operation", described(meta.operation, ["protocol", "name", "outcome", "code"])],
      ["Caller", described(meta.agent, ["name", "version", "user_agent", "bot"])],
      ["Route", typeof meta.route === "string" ? meta.route : null],
      ["From", [event.source, meta.framework, sdk.name, sdk.version].filter((x) => typeof x === "string").join(" · ")],
      ["Redacted", masked ? h("span", {}, h("mark", {}, String(masked)), masked === 1 ? " value" : " values") : "nothing"],
      ["Path", event.path.length > LONG ? marked(event.path) : null],
    ]),
    talk,
    h("div", { class: "sides" },
      section("Request",
        body("Request body", event.request_body, event.request_content_type, event.request_size_bytes, truncated.request_body),
        body("Form", event.post_data === event.request_body ? "" : event.post_data, "", 0, null),
        query(event.query_params), headers(event.request_headers, "Request headers")) ?? h("div"),
      section("Response",
        body("Response body", event.response_body, event.response_content_type, event.response_size_bytes,
          truncated.response_body),
        headers(event.response_headers, "Response headers")) ?? h("div")),
    document_("Custom properties", event.custom_properties),
    document_("Metadata", event.metadata),
    h("details", {}, h("summary", {}, h("h3", {}, "As curl")), block(curl, "curl command")),
    h("details", {}, h("summary", {}, h("h3", {}, "As Python")), block(python, "Python program")),
  ];
}

/** The operation's name where there is one, else the path. */
function called({ metadata, path }) {
  const name = metadata?.operation?.name;
  return (typeof name === "string" && name) || path || "(no path)";
}

/** Fill the panel beside the list; resolves when the event is shown. */
export async function openEvent(id, signal) {
  const panel = $("detail");
  const close = h("button", { type: "button", class: "close", onclick: closeEvent, title: "Close (Esc)" },
    h("span", { "aria-hidden": "true" }, "×"), h("span", { class: "hidden" }, "Close"));
  let heading;
  let shown;
  try {
    const answer = await ask("event", { id }, signal);
    heading = h("h2", { tabindex: "-1", title: answer.event.path }, h("span", { class: "method" }, answer.event.method), " ",
      marked(called(answer.event)));
    shown = content(answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    heading = h("h2", { tabindex: "-1" }, `Event ${id}`);
    shown = [h("p", {}, reasonOf(error))];
  }
  panel.replaceChildren(h("div", { class: "head" }, heading, close), ...shown.flat().filter(Boolean));
  panel.hidden = false;
  panel.scrollTop = 0;
  heading.focus({ preventScroll: true });
}

function closeEvent() {
  go(change({ event: "" }));
}
