// An inference under way: how far it is, over a WebSocket; loads the page again when it is over.
import { following } from "./inference_live.js";

const words = JSON.parse(document.getElementById("words").textContent);
const now = JSON.parse(document.getElementById("now").textContent);
const find = (name) => document.querySelector(`[data-${name}]`);

function show(news) {
  if (news.ready || news.state !== now.state && news.state !== "running") {
    location.reload(); // what it found, or why it failed
    return;
  }
  const bar = find("progress");
  if (!bar) return;
  find("work").textContent = words.work[news.work] ?? news.work;
  if (news.state === "queued") {
    find("far").textContent = words.waiting;
  } else if (news.total) {
    bar.max = news.total;
    bar.value = news.done;
    find("far").textContent = words.percent.replace("{done}", news.done).replace("{total}", news.total);
  } else {
    bar.removeAttribute("value");
    find("far").textContent = words.opening[news.work] ?? "";
  }
}

show(now);
if (now.state !== "failed") following(now.id, words, show);
