// The curves of several runs in one chart.
import { Curves, siteColour } from "./curves.js";

const words = JSON.parse(document.getElementById("words").textContent);
const runs = JSON.parse(document.getElementById("runs").textContent);
const names = runs.map((run, index) => `${index + 1}: ${run.strategy}`);
const curves = new Curves(document.querySelector("[data-chart]"), names, words);

function draw() {
  for (const key of document.querySelectorAll("[data-key]")) {
    key.style.setProperty("--site", siteColour(Number(key.dataset.key)));
    key.textContent = Number(key.dataset.key) + 1;
  }
  curves.paint();
  curves.draw(null, new Map(runs.map((run, index) => [names[index], run.curve])));
}

draw();
addEventListener("themechange", draw);
