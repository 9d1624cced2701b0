// Follows a job: asks how far it is, and loads the page once more when it is over.
const card = document.querySelector("[data-job]");

async function look() {
  const answer = await fetch(card.dataset.job, { headers: { Accept: "application/json" } }).catch(() => null);
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
