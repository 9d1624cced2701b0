// What pages of runs share: catching up over the API, then following over a WebSocket, and again
// after each break; the log; sizes and spans in words.
import { live } from "./socket.js";

export const OVER = new Set(["stopped", "finished", "failed"]);
export const LOG_ROWS = 400;
export const find = (name) => document.querySelector(`[data-${name}]`);
const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium" });

export function bytes(size) {
  for (const [unit, step] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (size >= step) return `${(size / step).toFixed(1)} ${unit}`;
  }
  return `${size} B`;
}

export function duration(seconds, units) {
  if (seconds === null) return "–";
  if (seconds < 90) return `${Math.round(seconds)} ${units.s}`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} ${units.min}`;
  return `${(seconds / 3600).toFixed(1)} ${units.h}`;
}

export function write(event) {
  const log = find("log");
  const item = document.createElement("li");
  item.className = event.kind;
  const time = document.createElement("time");
  time.dateTime = event.at;
  time.textContent = clock.format(new Date(event.at));
  item.append(time, " ", event.text);
  log.prepend(item);
  while (log.childElementCount > LOG_ROWS) log.lastElementChild.remove();
}

// What every page of a run shows of its summary.
export function summary(run, states, words) {
  const state = find("state").firstElementChild;
  state.className = `state ${run.state}`;
  state.textContent = states[run.state] ?? run.state;
  for (const form of document.querySelectorAll("[data-when]")) {
    form.hidden = !form.dataset.when.split(" ").includes(run.state);
  }
  find("trouble").hidden = !run.message;
  find("trouble-text").textContent = `${run.message} ${run.remedy}`;
  if (!find("progress")) return;
  find("progress").value = run.round;
  find("progress").max = run.rounds;
  find("round").textContent = `${run.round} / ${run.rounds}`;
  find("left").textContent = duration(OVER.has(run.state) ? null : run.seconds_left, words.spans);
}

export async function get(run, path) {
  const answer = await fetch(`/api/v1/runs/${run.id}${path}`);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

// Hands over the events of the past, then news as it comes; tells no event twice.
export async function follow(run, words, { past, news }) {
  const newest = await get(run, "/events?after=0&limit=1");
  let last = Math.max(0, newest.total - LOG_ROWS);
  const take = (events) => events.filter((event) => event.number > last).map((event) => { last = event.number; return event; });
  past(take((await get(run, `/events?after=${last}&limit=${LOG_ROWS}`)).items));
  const link = find("link");
  const socket = live();
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
  let now = run;
  socket.on("news", (told) => {
    now = told.run ?? now;  // told only when it changed
    news(now, take(told.events));
  });
}
