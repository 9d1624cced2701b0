// A run, live: catches up over the API, then follows over a WebSocket, and again after each break.
import { OVER, bytes, duration, find, follow, get, summary, write } from "./follow.js";
import { Curves, siteColour } from "./curves.js";
import { drawMap } from "./federation_map.js";
import { drawImportance } from "./importance.js";
import { Timeline } from "./timeline.js";
import { Unlike } from "./unlike.js";

const words = JSON.parse(document.getElementById("words").textContent);
const about = JSON.parse(document.getElementById("run").textContent);

let run = about.run;
const atFirst = run.state;
const rounds = new Map();
const select = find("metric");
const metricCurves = new Curves(document.querySelector('[data-chart="metric"]'), run.sites, words);
const lossCurves = new Curves(document.querySelector('[data-chart="loss"]'), run.sites, words);

const unlike = new Unlike(run.sites, about.metrics, words);
const timeline = new Timeline(find("timeline"), run.sites, words);

function row(number) {
  if (!rounds.has(number)) rounds.set(number, { round: number, metrics: {}, site_metrics: {}, site_loss: {}, site_up: {}, site_down: {}, site_change: {}, loss: null });
  return rounds.get(number);
}

let arrived = { round: -1, up: {} }; // bytes of the replies in the round under way
const came = (site) => arrived.up[site] ?? 0;

// --- what events change -------------------------------------------------------------------------

function take(event) {
  const { body } = event;
  if (event.kind === "Scored") Object.assign(row(body.round), { metrics: body.metrics, site_metrics: body.sites });
  if (event.kind === "RoundFinished") {
    const { loss, site_loss, site_up = {}, site_down = {}, site_change = {} } = body;
    Object.assign(row(body.round), { loss, site_loss, site_up, site_down, site_change });
  }
  arrive(event);
  timeline.take(event);
  write(event);
}

// A round's bytes are told when it is over; those of its replies with each that arrives.
function arrive({ kind, body }) {
  if (kind === "RunStarted" || kind === "RoundFinished") arrived = { round: -1, up: {} };
  if (kind === "RoundStarted" && body.purpose === "train" && body.round !== arrived.round) arrived = { round: body.round, up: {} };
  if (kind === "ReplyCounted" && body.round === arrived.round) arrived.up[body.site] = came(body.site) + body.bytes;
}

// Whom the round waits for, and how long each has been at what it does.
const DOTS = { query: "busy", train: "busy", evaluate: "busy", coming: "busy", waiting: "on", late: "late", missing: "off" };
function tick() {
  const over = OVER.has(run.state) || run.state === "queued";
  timeline.draw(over);
  for (const item of document.querySelectorAll("[data-site]")) {
    const [state, since] = timeline.state(item.dataset.site, over);
    item.querySelector(".dot").className = `dot ${DOTS[state] ?? ""}`;
    item.querySelector("small").textContent = state ? `${words[state]} · ${duration(Math.max(0, Date.now() / 1000 - since), words.spans)}` : "";
  }
}

// The map, with what has travelled so far; drawn anew only when it says something else.
let mapped = "";
function map() {
  const over = OVER.has(run.state) || run.state === "queued";
  const all = [...rounds.values()];
  const sum = (name, site) => all.reduce((total, each) => total + (each[name]?.[site] ?? 0), 0);
  const sites = run.sites.map((name) => {
    const [doing] = timeline.state(name, over);
    const [state, there] = about.there[name];
    return { name, state, doing, word: doing ? words[doing] : there, up: sum("site_up", name) + came(name), down: sum("site_down", name), patients: about.patients[name] ?? null, trained: all.findLast((each) => each.site_change?.[name])?.site_change[name].weight ?? null };
  });
  const now = JSON.stringify(sites);
  if (now === mapped) return;
  mapped = now;
  drawMap(find("map"), sites, words);
  find("map-table").replaceChildren(...sites.map((site) => {
    const line = document.createElement("tr");
    line.append(Object.assign(document.createElement("th"), { textContent: site.name, scope: "row" }));
    for (const [text, className] of [[site.word, "nowrap"], [site.patients ?? "–", "number"], [bytes(site.up), "number"], [bytes(site.down), "number"]]) {
      line.append(Object.assign(document.createElement("td"), { textContent: text, className }));
    }
    return line;
  }));
}

// What was spent is counted from ledgers, which takes a moment: seldom, and where there is any.
async function spent() {
  if (!about.private) return;
  const { privacy } = await get(run, "/privacy");
  const box = find("privacy");
  const known = privacy?.spent.filter((each) => each.entries) ?? [];
  box.hidden = !known.length;
  box.querySelector("tbody").replaceChildren(...known.map((each) => {
    const line = document.createElement("tr");
    for (const text of [each.site, words.units[each.unit] ?? each.unit, each.epsilon === null ? "–" : each.epsilon.toFixed(3), each.delta, each.entries]) {
      line.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    return line;
  }));
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
    unlike.draw(ordered);
    map();
    const trained = ordered.filter((each) => each.round > 0);
    lossCurves.draw(
      trained.map((each) => [each.round, each.loss]),
      new Map(run.sites.map((site) => [site, trained.map((each) => [each.round, each.site_loss[site]])])),
    );
  });
}

function show(now) {
  run = now;
  summary(run, about.states, words);
  find("up").textContent = bytes(run.bytes_up);
  find("down").textContent = bytes(run.bytes_down);
  tick();
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
const worth = () => drawImportance(about.importance, words);
addEventListener("themechange", () => { paint(); mapped = ""; draw(); worth(); });
worth();
spent();
setInterval(() => { if (!OVER.has(run.state)) { tick(); map(); } }, 1000);
setInterval(() => { if (!OVER.has(run.state)) spent(); }, 15_000);
begin();
