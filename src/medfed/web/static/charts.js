// Charts by ECharts: as SVG, in the colours of the page, without animation, as wide as their place.
import { css } from "./curves.js";
import { init } from "./vendor/echarts.esm.min.js";

const NARROW = 520;
const made = new WeakMap(); // by place: its chart, how it was made, and for which width
const sizes = new ResizeObserver((seen) => seen.forEach(({ target }) => fit(target)));
const isNarrow = (place) => place.clientWidth < NARROW;

// Draws what `make` gives ECharts as an option, for a narrow place or a wide one; what was drawn
// there before is replaced.
export function draw(place, make, height) {
  if (height) place.style.height = `${height}px`;
  if (!place.clientWidth) return; // folded away: there is no place yet
  const known = made.get(place);
  const chart = known?.chart ?? init(place, null, { renderer: "svg" });
  const narrow = isNarrow(place);
  made.set(place, { chart, make, narrow });
  if (!known) sizes.observe(place);
  const textStyle = { color: css("--ink"), fontFamily: css("--font"), fontSize: 12 };
  chart.setOption({ animation: false, textStyle, ...make(narrow) }, true);
}

function fit(place) {
  const { chart, make, narrow } = made.get(place);
  chart.resize();
  if (narrow !== isNarrow(place)) draw(place, make);
}

// What a pointer is told, as text: the pages' policy refuses styles in HTML that is written.
export function tip(formatter) {
  return {
    renderMode: "richText",
    confine: true,
    transitionDuration: 0,
    backgroundColor: css("--card"),
    borderColor: css("--line"),
    textStyle: { color: css("--ink"), fontSize: 12 },
    formatter,
  };
}

export function axis({ axisLabel, ...more }) {
  return {
    axisLine: { lineStyle: { color: css("--line") } },
    axisTick: { show: false },
    axisLabel: { color: css("--muted"), ...axisLabel },
    splitLine: { lineStyle: { color: css("--line") } },
    nameTextStyle: { color: css("--muted") },
    ...more,
  };
}
