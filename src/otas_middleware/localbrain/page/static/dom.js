// The only place where elements are made. An event is untrusted input: children that are texts become text nodes,
// and nothing anywhere is parsed as markup (the page's Trusted Types policy holds us to that).

/** Make an element. Attributes whose names begin with "on" are listeners; null, undefined and false leave one out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

let fading;

/** Say something in passing, to the eye and to a screen reader. */
export function say(text) {
  const toast = $("toast");
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => toast.classList.remove("shown"), 2500);
}

/** Copy a text and say so; returns whether the browser let us. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${what}.`);
    return true;
  } catch {
    say("The browser does not allow copying.");
    return false;
  }
}

/** A table that a screen reader announces by its caption. Columns: {name, number?, class?} or a name. */
export function table(caption, columns, rows) {
  const heads = columns.map((column) =>
    h("th", { scope: "col", class: column.number ? "number" : column.class }, column.name ?? column));
  return h("table", {},
    h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows));
}

/** A figure with its name. */
export const tile = (name, value, isBad = false) =>
  h("div", { class: isBad ? "tile bad" : "tile" }, h("span", {}, name), h("strong", {}, value));
