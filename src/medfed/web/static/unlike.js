// How unlike the hospitals are: a figure of each by round as a map of colours, and the latest in words.
import { axis, draw, tip } from "./charts.js";
import { css } from "./curves.js";
import { find } from "./follow.js";
import { COLON, COMMA } from "./signs.js";

const MOST = 60; // columns: of more rounds, every so many-th
const figure = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString(document.documentElement.lang) : value.toPrecision(3));
const known = (value) => value !== null && value !== undefined;

// Where colours begin and end: single figures far off would make all others alike.
function usual(values) {
  const ordered = [...values].sort((a, b) => a - b);
  const at = (share) => ordered[Math.round(share * (ordered.length - 1))];
  return [at(0.03), at(0.97)];
}

function measures(metrics, words) {
  const change = (name) => (round, site) => round.site_change?.[site]?.[name];
  return [
    ...Object.entries(metrics).map(([name, label]) => ({ name, label, of: (round, site) => round.site_metrics[site]?.[name] })),
    { name: "loss", label: words.loss, of: (round, site) => round.site_loss[site] },
    { name: "cosine", label: words.cosine, of: change("cosine") },
    { name: "norm", label: words.norm, of: change("norm") },
    { name: "weight", label: words.weight, of: change("weight") },
  ];
}

export class Unlike {
  constructor(sites, metrics, words) {
    Object.assign(this, { sites, words, all: measures(metrics, words), rounds: [] });
    this.place = find("unlike");
    this.select = find("unlike-of");
    this.select?.addEventListener("change", () => this.paint());
  }

  draw(rounds) {
    this.rounds = rounds;
    if (!this.place) return; // a study that shows no hospital's figures
    const there = this.all.filter(({ of }) => rounds.some((round) => this.sites.some((site) => known(of(round, site)))));
    find("unlike-card").hidden = !there.length;
    if (there.map((each) => each.name).join() !== [...this.select.options].map((each) => each.value).join()) {
      const chosen = this.select.value || "cosine";
      this.select.replaceChildren(...there.map(({ name, label }) => Object.assign(document.createElement("option"), { value: name, textContent: label })));
      if (there.some((each) => each.name === chosen)) this.select.value = chosen;
    }
    this.there = there;
    if (there.length) this.paint();
  }

  paint() {
    const { of, label } = this.there?.find((each) => each.name === this.select.value) ?? {};
    if (!of) return;
    const told = this.rounds.filter((round) => this.sites.some((site) => known(of(round, site))));
    const have = told.length > 1 ? told.filter(({ round }) => round > 0) : told; // 0 has learnt nothing
    const step = Math.ceil(have.length / MOST);
    const shown = have.filter((_, at) => (have.length - 1 - at) % step === 0);
    const all = shown.flatMap((round, x) => this.sites.map((site, y) => [x, y, of(round, site)]).filter((cell) => known(cell[2])));
    const [least, most] = usual(all.map((cell) => cell[2]));
    const cells = all.map(([x, y, value]) => [x, y, Math.min(most, Math.max(least, value)), value]);
    draw(this.place, (narrow) => ({
      grid: { left: 8, right: 12, top: 8, bottom: 64, containLabel: true },
      xAxis: axis({ type: "category", data: shown.map((each) => String(each.round)), name: this.words.round, nameLocation: "middle", nameGap: 24, splitLine: { show: false } }),
      yAxis: axis({ type: "category", inverse: true, data: this.sites, splitLine: { show: false }, axisLabel: { interval: 0, width: narrow ? 90 : 180, overflow: "truncate" } }),
      visualMap: {
        dimension: 2, min: least, max: most > least ? most : least + 1e-9, calculable: false, orient: "horizontal", left: "center", bottom: 0,
        itemWidth: 12, itemHeight: narrow ? 110 : 200, text: [figure(most), figure(least)], textStyle: { color: css("--muted") },
        inRange: { color: [css("--heat-low"), css("--heat-middle"), css("--heat-high")] },
      },
      tooltip: tip(({ value }) => `${this.sites[value[1]]}${COMMA}${this.words.roundOf.replace("{}", shown[value[0]].round)}\n${label}${COLON}${figure(value[3])}`),
      series: [{ type: "heatmap", data: cells, encode: { x: 0, y: 1, value: 2 }, itemStyle: { borderColor: css("--card"), borderWidth: 1 }, emphasis: { itemStyle: { borderColor: css("--ink") } } }],
    }), 100 + Math.max(18, Math.min(30, 420 / this.sites.length)) * this.sites.length);
    this.say(have.at(-1), of, label);
    this.table();
  }

  say(round, of, label) {
    const ordered = this.sites.map((site) => [of(round, site), site]).filter(([value]) => known(value)).sort(([a], [b]) => a - b);
    const [[low, lowest], [high, highest]] = [ordered[0], ordered.at(-1)];
    const places = { label, round: round.round, low: figure(low), lowest, high: figure(high), highest, apart: figure(high - low) };
    find("unlike-words").textContent = this.words.apart.replace(/\{(\w+)\}/g, (_, name) => places[name]);
  }

  // Each measure as it was told last: the figures of a metric come a round after those of training.
  table() {
    const cell = (tag, textContent, more = {}) => Object.assign(document.createElement(tag), { textContent, ...more });
    const latest = (of) => this.rounds.findLast((round) => this.sites.some((site) => known(of(round, site))));
    const from = this.there.map(({ of }) => latest(of));
    const head = document.createElement("tr");
    head.append(cell("th", this.words.hospital), ...this.there.map(({ label }, at) => cell("th", `${label} (${this.words.roundOf.replace("{}", from[at].round)})`, { className: "number" })));
    const rows = this.sites.map((site) => {
      const row = document.createElement("tr");
      row.append(cell("th", site, { scope: "row" }), ...this.there.map(({ of }, at) => cell("td", known(of(from[at], site)) ? figure(of(from[at], site)) : "–", { className: "number" })));
      return row;
    });
    find("unlike-table").replaceChildren(head, ...rows);
  }
}
