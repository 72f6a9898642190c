// Latency, errors and traffic over time.

import { ask, Refused } from "./api.js";
import { h, say, table } from "./dom.js";
import { filterbar, filterOf } from "./filterbar.js";
import { count, latency, share } from "./format.js";
import { throttled } from "./live.js";
import { change, go } from "./route.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const RANGES = [["0", "everything"], ["900", "last 15 minutes"], ["3600", "last hour"], ["86400", "last 24 hours"],
  ["604800", "last 7 days"]];
const LIVE_PAUSE = 1500;
const HEIGHT = 190;

/** The value of one of the style sheet's colours: a canvas knows no variables. */
function color(name) {
  const probe = h("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** Times along the axis: of day, or days when they are what differs. */
function times(_, splits) {
  const spansDays = splits.length > 1 && splits.at(-1) - splits[0] > 36 * 3600;
  return splits.map((at) => {
    const date = new Date(at * 1000);
    return spansDays ? `${date.getMonth() + 1}/${date.getDate()} ${clock(date)}` : clock(date);
  });
}

const clock = (date) => `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;

/**
 * Draw a chart.
 *
 * Series are [label, colour, values]. Bars stand on one another when they are stacked; the legend tells each one's own.
 */
function plot(place, at, series, format, { bars = false, stacked = false, top = null } = {}) {
  const axis = { stroke: color("dim"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false },
    font: "12px system-ui" };
  const heights = series.map(([, , values], index) => (stacked
    ? values.map((_, slot) => series.slice(index).reduce((sum, [, , others]) => sum + others[slot], 0)) : values));
  return new uPlot({
    width: Math.max(300, place.clientWidth),
    height: HEIGHT,
    cursor: { sync: { key: "time" }, points: { size: 7 }, drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [0, top ?? Math.max(high, 1e-9) * 1.1] } },
    axes: [{ ...axis, size: 30, space: 70, values: times },
      { ...axis, size: 64, values: (_, values) => values.map((value) => (value ? format(value) : "0")) }],
    series: [{ value: (_, time) => (time === null ? "–" : new Date(time * 1000).toLocaleTimeString()) },
      ...series.map(([label, name, values]) => ({
        label,
        stroke: color(name),
        width: bars ? 0 : 2,
        fill: bars ? color(name) : undefined,
        paths: bars ? uPlot.paths.bars({ size: [0.8], align: 1 }) : undefined,
        points: { show: false },
        spanGaps: true,
        value: (_, __, ___, slot) => (slot === null || values[slot] === null ? "–" : format(values[slot])),
      }))],
  }, [at, ...heights], place);
}

function tile(name, value, isBad = false) {
  return h("div", { class: isBad ? "tile bad" : "tile" }, h("span", {}, name), h("strong", {}, value));
}

export function chartsView(parameters) {
  let wanted = null;
  let drawn = [];
  const bar = filterbar(parameters, { searchesBodies: false });
  const range = h("label", {}, h("span", { class: "hidden" }, "Time range"), h("select", {
    name: "seconds", onchange: (event) => go(change({ seconds: event.target.value }), { replace: true }),
  }, RANGES.map(([value, text]) => h("option", { value, selected: value === (parameters.seconds ?? "0") }, text))));
  const tiles = h("div", { class: "tiles" });
  const figure = (title) => {
    const place = h("div", { class: "plot" });
    return { place, element: h("figure", {}, h("figcaption", {}, h("h3", {}, title)), place) };
  };
  const figures = [figure("Latency: median, 95th and 99th percentile"), figure("Requests, and those with an error"),
    figure("Requests of the busiest paths"), figure("Error rate")];
  const busiest = h("div", { class: "busiest" });
  const panels = h("div", { class: "figures" }, figures.map((one) => one.element));
  const element = h("section", { "aria-labelledby": "title" },
    h("div", { class: "toolbar" }, h("h2", { id: "title", class: "hidden" }, "Charts"), bar.form, range),
    h("div", { class: "scroller charts" }, tiles, panels, h("h3", {}, "Busiest paths"), busiest));

  function draw(data) {
    for (const one of drawn) one.destroy();
    panels.hidden = data.total.events === 0;
    const { total, times: at } = data;
    tiles.replaceChildren(tile("Requests", count(total.events)),
      tile("Error rate", share(total.errors, total.events), total.errors > 0),
      tile("Median", latency(total.p50)), tile("95th percentile", latency(total.p95)),
      tile("99th percentile", latency(total.p99)));
    const rate = data.events.map((events, slot) => (events ? (100 * data.errors[slot]) / events : null));
    drawn = panels.hidden ? [] : [
      plot(figures[0].place, at, [["p99", "bad", data.p99], ["p95", "warm", data.p95], ["p50", "good", data.p50]],
        latency),
      plot(figures[1].place, at, [["requests", "accent", data.events], ["errors", "bad", data.errors]], count,
        { bars: true }),
      plot(figures[2].place, at, data.paths.map((one, index) =>
        [one.path.slice(0, 40) || "(no path)", `path${index}`, one.events]), count, { bars: true, stacked: true }),
      plot(figures[3].place, at, [["error rate", "bad", rate]], (value) => `${Math.round(value)} %`, { top: 100 }),
    ];
    const rows = data.busiest.map((one) => h("tr", {},
      h("td", { class: "path" }, h("a", { href: change({ path: one.path }), title: one.path }, one.path || "(no path)")),
      h("td", { class: "number" }, count(one.events)),
      h("td", { class: one.errors ? "number error" : "number dim" }, share(one.errors, one.events)),
      h("td", { class: "number" }, latency(one.mean))));
    busiest.replaceChildren(rows.length ? table("Busiest paths", ["Path", { name: "Requests", number: true },
      { name: "Error rate", number: true }, { name: "Mean latency", number: true }], rows)
      : h("p", { class: "note" }, "No event is like this, so there is nothing to draw."));
  }

  const refresh = throttled(async () => {
    try {
      const data = await ask("charts", wanted);
      if (element.isConnected) draw(data);
    } catch (error) {
      say(error instanceof Refused ? error.message : "The Brain does not answer.");
    }
  }, LIVE_PAUSE);

  let resizing;
  const watch = new ResizeObserver(() => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      drawn.forEach((one, index) =>
        one.setSize({ width: Math.max(300, figures[index].place.clientWidth), height: HEIGHT }));
    }, 100);
  });
  watch.observe(figures[0].place);

  return {
    element,
    title: "Charts",
    news: refresh,
    recolor: refresh,
    update(present) {
      const { everywhere, ...filter } = filterOf(present);
      bar.update(present);
      const next = { ...filter, seconds: present.seconds ?? "0" };
      if (JSON.stringify(next) === JSON.stringify(wanted)) return;
      wanted = next;
      refresh();
    },
    focus() {},
    leave: () => watch.disconnect(),
  };
}
