// A comparison, live: how many of its runs are done, and what it does now.
import { find, follow, summary, write } from "./follow.js";

const words = JSON.parse(document.getElementById("words").textContent);
const { run, states } = JSON.parse(document.getElementById("run").textContent);

summary(run, states, words);
follow(run, words, {
  past: (events) => events.forEach(write),
  news: (now, events) => {
    events.forEach(write);
    summary(now, states, words);
    if (now.state === "finished" && find("progress")) location.reload(); // for its answer
  },
});
