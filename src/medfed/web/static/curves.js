// Curves by round, for all hospitals and for each; colours follow the page.
const SITES_LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#7a7a3c"];
const SITES_DARK = ["#4aa8e0", "#f0803c", "#2cc79b", "#e59cc4", "#8fd0f7", "#f2b632", "#d36a9f", "#b9b96c"];

export function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
}

export function siteColour(index) {
  const colours = isDark() ? SITES_DARK : SITES_LIGHT;
  return colours[index % colours.length];
}

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Curves {
  constructor(canvas, sites, words) {
    this.sites = sites;
    this.words = words;
    this.chart = new Chart(canvas, {
      type: "line",
      data: { datasets: [] },
      options: {
        animation: false,
        maintainAspectRatio: false,
        parsing: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        scales: {
          x: { type: "linear", title: { display: true, text: words.round }, ticks: { precision: 0 } },
          y: { ticks: { maxTicksLimit: 6 } },
        },
        plugins: {
          legend: { position: "bottom", labels: { usePointStyle: true, boxHeight: 6 } },
          tooltip: { callbacks: { title: (items) => words.roundOf.replace("{}", items[0].parsed.x) } },
        },
      },
    });
    this.paint();
  }

  // all: [[round, value]]; bySite: site -> the same.
  draw(all, bySite) {
    const points = (pairs) => pairs.filter(([, y]) => y !== null && y !== undefined).map(([x, y]) => ({ x, y }));
    const line = (label, pairs, colour, width, order) => ({
      label,
      order, // the lower, the nearer: hospitals are drawn over the line of all
      data: points(pairs),
      borderColor: colour,
      backgroundColor: colour,
      borderWidth: width,
      pointRadius: pairs.length > 40 ? 0 : 2,
      tension: 0,
    });
    const sets = this.sites
      .map((site, index) => line(site, bySite.get(site) ?? [], siteColour(index), 1.5, 0))
      .filter((set) => set.data.length);
    const values = [...(all ?? []), ...[...bySite.values()].flat()].map(([, y]) => y ?? 0);
    // Of nothing but zeros an axis would go as far below it as above.
    this.chart.options.scales.y.min = values.some((value) => value !== 0) ? undefined : 0;
    this.chart.data.datasets = all ? [line(this.words.all, all, css("--ink"), 3, 1), ...sets] : sets;
    this.chart.update("none");
  }

  paint() {
    const { options } = this.chart;
    Chart.defaults.font.family = css("--font");
    for (const axis of Object.values(options.scales)) {
      axis.grid = { color: css("--line") };
      axis.ticks = { ...axis.ticks, color: css("--muted") };
      if (axis.title) axis.title.color = css("--muted");
    }
    options.plugins.legend.labels.color = css("--ink");
    this.chart.update("none");
  }
}
