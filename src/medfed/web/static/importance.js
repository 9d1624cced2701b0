// What each input of a tabular model is worth: a point with its interval.
import { axis, draw, tip } from "./charts.js";
import { css } from "./curves.js";
import { COLON } from "./signs.js";

const place = document.querySelector("[data-importance]");
const MOST = 20;
const figure = (value) => (value ?? 0).toFixed(3);

export function drawImportance(inputs, words) {
  if (!place) return;
  const top = inputs.slice(0, MOST).filter((each) => each.value !== null);
  const rows = top.map((each, at) => [at, each.value, each.low ?? each.value, each.high ?? each.value]);
  const [accent, muted] = [css("--accent"), css("--muted")];
  const item = (_, api) => {
    const at = (value) => api.coord([value, api.value(0)]);
    const [[x, y], [x1], [x2]] = [at(api.value(1)), at(api.value(2)), at(api.value(3))];
    return {
      type: "group",
      children: [
        { type: "line", shape: { x1, y1: y, x2, y2: y }, style: { stroke: muted, lineWidth: 4, opacity: 0.6 } },
        { type: "circle", shape: { cx: x, cy: y, r: 5 }, style: { fill: accent } },
      ],
    };
  };
  draw(place, (narrow) => ({
    grid: { left: 8, right: 24, top: 8, bottom: 34, containLabel: true },
    xAxis: axis({ type: "value", name: words.fall, nameLocation: "middle", nameGap: 26, splitNumber: narrow ? 3 : 6 }),
    yAxis: axis({
      type: "category",
      inverse: true,
      data: top.map((each) => each.name),
      splitLine: { show: false },
      axisLabel: { interval: 0, width: narrow ? 110 : 240, overflow: "truncate" },
    }),
    tooltip: tip(({ value }) => `${top[value[0]].name}\n${words.worth}${COLON}${figure(value[1])}\n${words.interval}${COLON}${figure(value[2])} – ${figure(value[3])}`),
    series: [{ type: "custom", renderItem: item, encode: { x: [1, 2, 3], y: 0 }, data: rows }],
  }), 70 + 24 * top.length);
}
