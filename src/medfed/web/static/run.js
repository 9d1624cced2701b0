// A run, live: catches up over the API, then follows over a WebSocket, and again after each break.
import { io } from "./vendor/socket.io.esm.min.js";
import { Curves, siteColour } from "./curves.js";

const words = JSON.parse(document.getElementById("words").textContent);
const about = JSON.parse(document.getElementById("run").textContent);
const find = (name) => document.querySelector(`[data-${name}]`);
const LOG_ROWS = 400;
const OVER = new Set(["stopped", "finished", "failed"]);

let run = about.run;
let last = 0;
let atFirst = run.state;
const rounds = new Map();
const log = find("log");
const select = find("metric");
const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium" });
const metricCurves = new Curves(document.querySelector('[data-chart="metric"]'), run.sites, words);
const lossCurves = new Curves(document.querySelector('[data-chart="loss"]'), run.sites, words);

function row(number) {
  if (!rounds.has(number)) rounds.set(number, { round: number, metrics: {}, site_metrics: {}, site_loss: {}, loss: null });
  return rounds.get(number);
}

// --- what events change -------------------------------------------------------------------------

function take(event) {
  last = Math.max(last, event.number);
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

function write(event) {
  const item = document.createElement("li");
  item.className = event.kind;
  const time = document.createElement("time");
  time.dateTime = event.at;
  time.textContent = clock.format(new Date(event.at));
  item.append(time, " ", event.text);
  log.prepend(item);
  while (log.childElementCount > LOG_ROWS) log.lastElementChild.remove();
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

function bytes(size) {
  for (const [unit, step] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (size >= step) return `${(size / step).toFixed(1)} ${unit}`;
  }
  return `${size} B`;
}

function duration(seconds) {
  if (seconds === null || OVER.has(run.state)) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function summary(now) {
  run = now;
  find("progress").value = run.round;
  find("progress").max = run.rounds;
  find("round").textContent = `${run.round} / ${run.rounds}`;
  find("left").textContent = duration(run.seconds_left);
  find("up").textContent = bytes(run.bytes_up);
  find("down").textContent = bytes(run.bytes_down);
  const state = find("state").firstElementChild;
  state.className = `state ${run.state}`;
  state.textContent = about.states[run.state] ?? run.state;
  for (const form of document.querySelectorAll("[data-when]")) {
    form.hidden = !form.dataset.when.split(" ").includes(run.state);
  }
  find("trouble").hidden = !run.message;
  find("trouble-text").textContent = run.message ? `${run.message}. ${run.remedy}` : "";
  if (OVER.has(run.state)) document.querySelectorAll("[data-site] .dot").forEach((dot) => { dot.className = "dot"; });
  if (run.state === "finished" && atFirst !== "finished") location.reload(); // for its result
}

// --- where news comes from -----------------------------------------------------------------------

async function get(path) {
  const answer = await fetch(`/api/v1/runs/${run.id}${path}`);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function begin() {
  const newest = await get("/events?after=0&limit=1");
  last = Math.max(0, newest.total - LOG_ROWS);
  const [past, events] = await Promise.all([get("/rounds"), get(`/events?after=${last}&limit=${LOG_ROWS}`)]);
  past.items.forEach((each) => rounds.set(each.round, each));
  events.items.forEach(take);
  summary(run);
  draw();
  follow();
}

function follow() {
  const link = find("link");
  const socket = io({ transports: ["websocket"] });
  socket.on("connect", () => {
    link.className = "link-state on";
    link.textContent = words.live;
    socket.emit("follow", { run: run.id, after: last });
  });
  socket.on("disconnect", () => {
    link.className = "link-state off";
    link.textContent = words.away;
  });
  socket.on("database", ({ here }) => {
    link.className = `link-state ${here ? "on" : "off"}`;
    link.textContent = here ? words.live : words.no_database;
  });
  socket.on("news", (news) => {
    news.events.filter((event) => event.number > last).forEach(take);
    if (news.run) summary(news.run);
    draw();
  });
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
