// Latency, errors and traffic over time.

import { ask, attempt, throttled } from "./api.js";
import { h, table, tile } from "./dom.js";
import { filterbar, filterOf } from "./filterbar.js";
import { count, latency, share, two } from "./format.js";
import { change } from "./route.js";
import uPlot from "./vendor/uplot/uPlot.min.js";

const RANGES = [["900", "last 15 minutes"], ["3600", "last hour"], ["86400", "last 24 hours"],
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

const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
const clock = (date, seconds) =>
  `${two(date.getHours())}:${two(date.getMinutes())}${seconds ? `:${two(date.getSeconds())}` : ""}`;

/** Times along the axis, with the day below the first one and wherever it changes. */
function times(_, splits) {
  const fine = splits.length > 1 && splits[1] - splits[0] < 60;
  return splits.map((at, index) => {
    const date = new Date(at * 1000);
    const isNewDay = !index || day(date) !== day(new Date(splits[index - 1] * 1000));
    return isNewDay ? `${clock(date, fine)}\n${day(date)}` : clock(date, fine);
  });
}

/**
 * Draw a chart.
 *
 * Series are [label, colour, values, dash]. Bars stand on one another when they are stacked; the legend tells each
 * one's own. Lines are broken where nothing happened, and a value that stands alone is a point.
 */
function plot(place, at, width, series, format, { bars = false, stacked = false, top = null } = {}) {
  const axis = { stroke: color("dim"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false },
    font: "12px system-ui" };
  const heights = series.map(([, , values], index) => (stacked
    ? values.map((_, slot) => series.slice(index).reduce((sum, [, , others]) => sum + others[slot], 0)) : values));
  return new uPlot({
    width: Math.max(300, place.clientWidth),
    height: HEIGHT,
    cursor: { sync: { key: "time" }, points: { size: 7 }, drag: { x: false, y: false } },
    scales: { x: { range: () => [at[0], at.at(-1) + width] }, y: { range: (_, low, high) => [0, top ?? Math.max(high, 1e-9) * 1.1] } },
    axes: [{ ...axis, size: 44, space: 80, values: times },
      { ...axis, size: 64, values: (_, values) => values.map((value) => (value ? format(value) : "0")) }],
    series: [{ value: (_, time) => (time === null ? "–" : `${day(new Date(time * 1000))} ${clock(new Date(time * 1000), true)}`) },
      ...series.map(([label, name, values, dash]) => ({
        label,
        stroke: color(name),
        width: bars ? 0 : 2,
        fill: bars ? color(name) : undefined,
        paths: bars ? uPlot.paths.bars({ size: [0.8], align: 1 }) : undefined,
        dash,
        points: { show: !bars, size: 5, fill: color(name), filter: bars ? undefined : alone },
        spanGaps: false,
        value: (_, __, ___, slot) => (slot === null || values[slot] === null ? "–" : format(values[slot])),
      }))],
  }, [at, ...heights], place);
}

/** The values without neighbours: no line leads to them. */
function alone(chart, index) {
  const values = chart.data[index];
  return values.flatMap((value, slot) =>
    (value !== null && (values[slot - 1] ?? null) === null && (values[slot + 1] ?? null) === null ? [slot] : []));
}

export function chartsView() {
  let wanted = null;
  let drawn = [];
  const bar = filterbar({ searchesBodies: false, ranges: RANGES });
  const tiles = h("div", { class: "tiles" });
  const figure = (title) => {
    const place = h("div", { class: "plot" });
    return { place, element: h("figure", {}, h("figcaption", {}, h("h3", {}, title)), place) };
  };
  const figures = [figure("Latency: median, 95th and 99th percentile"), figure("Requests, and those with an error"),
    figure("Requests by operation or route: the busiest six"), figure("Errors: client's (4xx), server's (5xx), below 400")];
  const busiest = h("div", { class: "busiest" });
  const heading = h("h3", {}, "Busiest operations and routes");
  const panels = h("div", { class: "figures" }, figures.map((one) => one.element));
  const element = h("section", { "aria-labelledby": "title" },
    h("div", { class: "toolbar" }, h("h2", { id: "title", class: "hidden" }, "Charts"), bar.form),
    h("div", { class: "scroller charts" }, tiles, panels, heading, busiest));

  function draw(data) {
    for (const one of drawn) one.destroy();
    panels.hidden = tiles.hidden = heading.hidden = data.total.events === 0;
    const { total, times: at } = data;
    tiles.replaceChildren(tile("Requests", count(total.events)),
      tile("4xx", share(total.client_errors, total.events), total.client_errors > 0),
      tile("5xx", share(total.server_errors, total.events), total.server_errors > 0),
      tile("Failed below 400", share(total.failed, total.events), total.failed > 0),
      tile("Median", latency(total.p50)), tile("95th percentile", latency(total.p95)),
      tile("99th percentile", latency(total.p99)));
    const rate = (part) => data.events.map((events, slot) => (events ? (100 * data[part][slot]) / events : null));
    const { width } = data;
    drawn = panels.hidden ? [] : [
      plot(figures[0].place, at, width, [["p50", "good", data.p50], ["p95", "warm", data.p95],
        ["p99", "bad", data.p99, [4, 4]]], latency), // dashed and on top: often it is the 95th too
      plot(figures[1].place, at, width, [["requests", "accent", data.events], ["errors", "bad", data.errors]], count,
        { bars: true }),
      plot(figures[2].place, at, width, data.calls.map((one, index) => [one.called.slice(0, 40), `path${index}`, one.events]),
        count, { bars: true, stacked: true }),
      plot(figures[3].place, at, width, [["4xx", "warm", rate("client_errors")], ["5xx", "bad", rate("server_errors"), [4, 4]],
        ["below 400", "path2", rate("failed"), [1, 3]]], (value) => `${Math.round(value)} %`, { top: 100 }),
    ];
    const rows = data.busiest.map((one) => h("tr", {},
      h("td", { class: "path" }, h("a", { href: change({ called: one.called }), title: one.called }, one.called)),
      h("td", { class: "number" }, count(one.events)),
      ["client_errors", "server_errors", "failed"].map((kind) =>
        h("td", { class: one[kind] ? "number error" : "number dim" }, one[kind] ? share(one[kind], one.events) : "–")),
      h("td", { class: "number" }, latency(one.mean))));
    const columns = ["Requests", "4xx", "5xx", "Failed below 400", "Mean latency"].map((name) => ({ name, number: true }));
    busiest.replaceChildren(rows.length ? table("Busiest operations and routes", ["Operation or route", ...columns], rows)
      : h("p", { class: "note" }, "There is nothing to draw: no event has arrived yet, or the filter and the time range leave all out."));
  }

  const refresh = throttled(() => attempt(async () => {
    const data = await ask("charts", wanted);
    if (element.isConnected) draw(data);
  }), LIVE_PAUSE);

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
