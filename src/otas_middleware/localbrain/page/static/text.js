// Recorded texts as elements: JSON laid out, redactions set off.

import { h } from "./dom.js";

const MASK = /\[REDACTED(?:: [^\]]{0,100})?\]/;
const MASKS = new RegExp(`(${MASK.source})`);
const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g;
const FIRST_SHOWN = 100_000;
const DEEPEST = 40;

/** Split a text so that each redaction is a <mark>. */
export function marked(text) {
  return text.split(MASKS).map((part) => (MASK.test(part) ? h("mark", {}, part) : part));
}

export const redactions = (text) => text.split(MASKS).length >> 1;

function isJson(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Lay JSON out without reading its values: numbers keep all their digits, doubled names stay. */
function* laidOut(text) {
  let depth = 0;
  const indent = () => `\n${"  ".repeat(Math.min(depth, DEEPEST))}`;
  const tokens = text.match(JSON_TOKEN) ?? [];
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      depth += 1;
      yield [null, next === "}" || next === "]" ? token : token + indent()];
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const isEmpty = tokens[index - 1] === "{" || tokens[index - 1] === "[";
      yield [null, isEmpty ? token : indent() + token];
    } else if (token === ",") yield [null, token + indent()];
    else if (token === ":") yield [null, ": "];
    else if (token.startsWith('"')) yield [next === ":" ? "key" : "text", token];
    else yield ["value", token];
  }
}

function colored(text) {
  const parts = [];
  let plain = "";
  for (const [kind, token] of laidOut(text)) {
    if (kind === null) plain += token;
    else {
      parts.push(plain, h("span", { class: `json-${kind}` }, marked(token)));
      plain = "";
    }
  }
  return [...parts, plain];
}

/** A recorded body, header or document: as JSON when it is JSON, as it came otherwise. A long one is shown in part. */
export function block(text, label) {
  const pre = h("pre", { tabindex: "0", role: "region", "aria-label": label });
  const fill = (shown) => pre.replaceChildren(...(isJson(shown) ? colored(shown) : marked(shown)).flat());
  if (text.length <= FIRST_SHOWN) {
    fill(text);
    return pre;
  }
  pre.replaceChildren(...marked(text.slice(0, FIRST_SHOWN)));
  const more = h("button", {
    type: "button",
    onclick: () => { pre.replaceChildren(...marked(text)); more.remove(); pre.focus(); },
  }, `Show all ${text.length} characters`);
  return h("div", {}, pre, more);
}
