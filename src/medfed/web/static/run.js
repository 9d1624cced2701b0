// A run, live: catches up over the API, then follows over a WebSocket, and again after each break.
import { OVER, bytes, find, follow, get, summary, write } from "./follow.js";
import { Curves, siteColour } from "./curves.js";

const words = JSON.parse(document.getElementById("words").textContent);
const about = JSON.parse(document.getElementById("run").textContent);

let run = about.run;
const atFirst = run.state;
const rounds = new Map();
const select = find("metric");
const metricCurves = new Curves(document.querySelector('[data-chart="metric"]'), run.sites, words);
const lossCurves = new Curves(document.querySelector('[data-chart="loss"]'), run.sites, words);

function row(number) {
  if (!rounds.has(number)) rounds.set(number, { round: number, metrics: {}, site_metrics: {}, site_loss: {}, loss: null });
  return rounds.get(number);
}

// --- what events change -------------------------------------------------------------------------

function take(event) {
  const { body } = event;
  if (event.kind === "Scored") Object.assign(row(body.round), { metrics: body.metrics, site_metrics: body.sites });
  if (event.kind === "RoundFinished") Object.assign(row(body.round), { loss: body.loss, site_loss: body.site_loss });
  if (event.kind === "RoundStarted") body.sites.forEach((site) => mark(site, "busy"));
  if (event.kind === "ReplyCounted") mark(body.site, "on");
  if (event.kind === "SiteMissing") mark(body.site, "off");
  write(event);
}

function mark(site, how) {
  const item = document.querySelector(`[data-site="${CSS.escape(site)}"] .dot`);
  if (item) item.className = `dot ${how}`;
}

// --- drawing -------------------------------------------------------------------------------------

let planned = false;
function draw() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    const name = select.value;
    const ordered = [...rounds.values()].sort((a, b) => a.round - b.round);
    const bySite = (value) => new Map(run.sites.map((site) => [site, ordered.map((each) => [each.round, value(each, site)])]));
    metricCurves.draw(
      ordered.map((each) => [each.round, each.metrics[name]]),
      bySite((each, site) => each.site_metrics[site]?.[name]),
    );
    const trained = ordered.filter((each) => each.round > 0);
    lossCurves.draw(
      trained.map((each) => [each.round, each.loss]),
      new Map(run.sites.map((site) => [site, trained.map((each) => [each.round, each.site_loss[site]])])),
    );
  });
}

function show(now) {
  run = now;
  summary(run, about.states);
  find("up").textContent = bytes(run.bytes_up);
  find("down").textContent = bytes(run.bytes_down);
  if (OVER.has(run.state)) document.querySelectorAll("[data-site] .dot").forEach((dot) => { dot.className = "dot"; });
  if (run.state === "finished" && atFirst !== "finished") location.reload(); // for its result
}

// --- where news comes from -----------------------------------------------------------------------

async function begin() {
  const known = await get(run, "/rounds");
  known.items.forEach((each) => rounds.set(each.round, each));
  const past = (events) => { events.forEach(take); show(run); draw(); };
  await follow(run, words, { past, news: (now, events) => { events.forEach(take); show(now); draw(); } });
}

function paint() {
  document.querySelectorAll("[data-site]").forEach((item, index) => {
    item.style.setProperty("--site", siteColour(index));
  });
  [metricCurves, lossCurves].forEach((each) => each.paint());
}

paint();
select.addEventListener("change", draw);
addEventListener("themechange", () => { paint(); draw(); });
begin();
