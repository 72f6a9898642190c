// Figures as people read them.

import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en");
export const two = (number) => String(number).padStart(2, "0");

export const count = (number) => whole.format(number);

/** A number of things: "1 event", "2 events". */
export const plural = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** Milliseconds, or what stands for a latency that is no number. */
export function latency(ms) {
  if (typeof ms !== "number") return `${ms ?? "–"}`;
  if (ms >= 3_600_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  if (ms >= 60_000) return `${(ms / 60_000).toFixed(1)} min`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}

export function bytes(size) {
  if (size < 1024) return `${size} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

/** A share in per cent, which says neither 0 of something nor 100 of less than all. */
export function share(part, all) {
  if (!all) return "–";
  const percent = (100 * part) / all;
  if (part && percent < 0.1) return "< 0.1 %";
  if (part < all && percent > 99.9) return "> 99.9 %";
  const isNearAnEnd = (part && percent < 10) || (part < all && percent > 99);
  return `${percent.toFixed(isNearAnEnd ? 1 : 0)} %`;
}

/** A time of day here, with the date when it is not today, `brief` in lists; the whole of it in UTC on hovering. */
export function moment(seconds, { milliseconds = false, brief = false } = {}) {
  const date = new Date(seconds * 1000);
  if (seconds === null || Number.isNaN(date.getTime())) return "–";
  const minute = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const day = `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const now = new Date();
  let text = `${minute}:${two(date.getSeconds())}`;
  if (milliseconds) text += `.${String(date.getMilliseconds()).padStart(3, "0")}`;
  if (date.toDateString() !== now.toDateString()) {
    text = brief && date.getFullYear() === now.getFullYear() ? `${day} ${minute}`
      : `${date.getFullYear()}-${day}${brief ? "" : ` ${text}`}`;
  }
  return h("time", { datetime: date.toISOString(), title: date.toISOString() }, text);
}

/** The class of an event's colour, the same wherever it is shown: a failure within a good answer is one too. */
export function tone({ status_code: code, error }) {
  const hundred = Math.floor(code / 100);
  if (error && hundred < 4) return "bad";
  return { 1: "info", 2: "good", 3: "info", 4: "warm" }[hundred] ?? "bad";
}

/** The status of an event as a badge. */
export const status = (event) => h("span", { class: `status ${tone(event)}` }, event.status_code || "none");

export const short = (id) => id.slice(0, 8);
