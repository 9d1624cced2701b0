// What each input of a tabular model is worth: a point with its interval.
import { css } from "./curves.js";

const place = document.querySelector("[data-importance]");

export function drawImportance(inputs, words) {
  if (!place) return;
  const top = inputs.slice(0, 20);
  const labels = top.map((each) => each.name);
  place.parentElement.style.height = `${60 + 24 * top.length}px`;
  const values = top.map((each) => ({ x: each.value, y: each.name }));
  const ranges = top.map((each) => [each.low ?? each.value, each.high ?? each.value]);
  const grid = { color: css("--line") };
  const ticks = { color: css("--muted") };
  Chart.getChart(place)?.destroy();
  new Chart(place, {
    type: "bar",
    data: {
      labels,
      datasets: [
        { type: "line", label: words.worth, data: values, showLine: false, pointRadius: 5, backgroundColor: css("--accent"), borderColor: css("--accent") },
        { label: words.interval, data: ranges, barThickness: 4, backgroundColor: css("--muted") },
      ],
    },
    options: {
      indexAxis: "y",
      animation: false,
      maintainAspectRatio: false,
      scales: {
        x: { grid, ticks, title: { display: true, text: words.fall, color: css("--muted") } },
        y: { grid: { display: false }, ticks: { ...ticks, autoSkip: false } },
      },
      plugins: { legend: { display: false } },
    },
  });
}
