// Follows a job: asks how far it is, and loads the page once more when it is over, when the job was
// removed, or when the log-in is lost: then it is the log-in's page.
import { ask } from "./session.js";

const card = document.querySelector("[data-job]");

async function look() {
  const answer = await ask(card.dataset.job);
  if ([401, 403, 404].includes(answer?.status)) return location.reload();
  card.querySelector("[data-away]").hidden = Boolean(answer?.ok);
  if (answer?.ok) {
    const job = await answer.json();
    if (job.state !== card.dataset.state) return location.reload();
    const bar = card.querySelector("progress");
    if (job.total) [bar.max, bar.value] = [job.total, job.done];
    const done = card.querySelector("[data-done]");
    if (done) done.textContent = job.done;
  }
  return setTimeout(look, 1000);
}

if (card) setTimeout(look, 700);
