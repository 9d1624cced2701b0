// The federation as a map: the coordinator in the middle, the hospitals around it. It shows who is
// there and what they do, what travels between them, and how many patients are behind each.
import { draw, tip } from "./charts.js";
import { css } from "./curves.js";
import { bytes } from "./follow.js";
import { COLON } from "./signs.js";

const NAMED = 24; // hospitals that are named; of more, pointing at one says which
const COUNTED = 8; // hospitals that are told with what travelled
const GOOD = "#1aa179";
const [LATE, AWAY] = ["#e69f00", "#d55e00"];

// What a hospital does goes before whether it is there.
function colour({ state, doing }) {
  if (doing === "late") return LATE;
  if (doing === "missing") return AWAY;
  if (doing === "waiting") return GOOD;
  if (doing) return css("--accent");
  return { online: GOOD, offline: AWAY }[state] ?? css("--muted");
}

// Around the middle, from the top on.
function position(at, count) {
  const angle = (2 * Math.PI * at) / count - Math.PI / 2 + (count === 2 ? Math.PI / 2 : 0);
  return [Math.cos(angle), -Math.sin(angle)];
}

function side([x, y]) {
  if (Math.abs(x) < 0.3) return y > 0 ? "top" : "bottom";
  return x > 0 ? "right" : "left";
}

const traffic = ({ up, down }) => `↑ ${bytes(up)}  ↓ ${bytes(down)}`;

function told(site, words) {
  const lines = [site.name, site.word];
  if (site.trained) lines.push(words.trained + COLON + site.trained);
  if (site.patients !== null) lines.push(words.patients + COLON + site.patients);
  if (site.up || site.down) lines.push(words.received + COLON + bytes(site.up), words.sent + COLON + bytes(site.down));
  return lines.join("\n");
}

// sites: { name, state, doing, word, up, down, patients }, in a fixed order.
export function drawMap(place, sites, words) {
  const heights = sites.map((_, at) => position(at, sites.length)[1]);
  const room = (low, high) => ({ type: "value", show: false, min: low, max: high });
  draw(place, (narrow) => ({
    grid: { left: 10, right: 10, top: 10, bottom: 10 },
    xAxis: narrow ? room(-1.4, 1.4) : room(-1.9, 1.9),
    yAxis: room(Math.min(...heights, -0.3) - 0.8, Math.max(...heights, 0.3) + 0.8),
    tooltip: tip(({ data }) => data.told),
    series: [{
      type: "graph",
      coordinateSystem: "cartesian2d",
      data: [middle(words), ...hospitals(sites, words, narrow)],
      links: lines(sites, words),
      emphasis: { disabled: true },
    }],
  }), 340);
}

function middle({ coordinator }) {
  const label = { show: true, position: "bottom", color: css("--ink"), fontWeight: 600 };
  return { id: "middle", name: coordinator, value: [0, 0], symbol: "roundRect", symbolSize: 34, itemStyle: { color: css("--ink") }, label, told: coordinator };
}

function hospitals(sites, words, narrow) {
  const most = Math.max(1, ...sites.map((site) => site.patients ?? 0));
  const small = sites.length > NAMED;
  const [muted, ink] = [css("--muted"), css("--ink")];
  const width = narrow ? { width: 138, overflow: "truncate" } : {};
  return sites.map((site, at) => {
    const value = position(at, sites.length);
    const more = sites.length <= COUNTED && (site.up || site.down) ? `\n{word|${traffic(site)}}` : "";
    return {
      id: String(at),
      name: site.name,
      value,
      symbolSize: (small ? 8 : 16) + (small ? 12 : 24) * Math.sqrt((site.patients ?? 0) / most),
      itemStyle: { color: colour(site), borderColor: css("--card"), borderWidth: 2 },
      label: {
        show: !small,
        position: narrow ? (value[1] >= 0 ? "top" : "bottom") : side(value),
        formatter: `{name|${site.name}}\n{word|${site.word}}${more}`,
        ...width,
        rich: { name: { color: ink, fontWeight: 600, fontSize: 12, lineHeight: 16 }, word: { color: muted, fontSize: 11, lineHeight: 15 } },
      },
      told: told(site, words),
    };
  });
}

function lines(sites, words) {
  const busiest = Math.max(1, ...sites.map((site) => site.up + site.down));
  return sites.map((site, at) => ({
    source: 0, // by place: a hospital may be called as the coordinator is
    target: at + 1,
    lineStyle: {
      color: site.doing ? colour(site) : css("--muted"),
      width: 1 + (3 * (site.up + site.down)) / busiest,
      type: site.state === "offline" ? "dashed" : "solid",
      opacity: site.doing ? 1 : 0.45,
    },
    told: told(site, words),
  }));
}
