// What every page does: light and dark, moments in the reader's own zone, copying, progress.
import { ask } from "./session.js";

const root = document.documentElement;
const language = root.lang;

for (const button of document.querySelectorAll("[data-theme-button]")) {
  button.addEventListener("click", () => {
    const dark = root.dataset.theme === "dark"
      || (root.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("medfed-theme", root.dataset.theme);
    dispatchEvent(new Event("themechange"));
  });
}

const moments = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

// A table that is wider than its place is scrolled by keys too.
const widths = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

// What the server sent, as this browser shows it: a whole page, or a part that came later.
export function enrich(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.dateTime;
      time.textContent = moments.format(at);
    }
  }
  part.querySelectorAll(".table, .prose table").forEach((table) => widths.observe(table));
}
enrich(document);

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => {
    const secret = button.parentElement.querySelector("[data-secret]");
    navigator.clipboard.writeText(secret.textContent);
  });
}

const OPEN = new Set(["queued", "running", "stopping"]);
// Pages that follow a feed ask for new parts by themselves.
const followed = document.querySelector("[data-follow]");
const bars = followed ? [] : [...document.querySelectorAll(".progress[data-run]")];

async function refresh() {
  const answer = await ask("/api/v1/runs?limit=100");
  if (answer?.status === 401) return location.reload(); // to the log-in
  if (answer?.status === 403) return; // they may see no runs
  if (!answer?.ok) return setTimeout(refresh, 3000);
  const runs = new Map((await answer.json()).items.map((run) => [run.id, run]));
  let going = false;
  for (const bar of bars) {
    const run = runs.get(bar.dataset.run);
    if (!run) continue;
    bar.querySelector("progress").value = run.round;
    bar.querySelector("span").textContent = `${run.round} / ${run.rounds}`;
    const state = bar.closest("tr, li")?.querySelector(".state");
    if (state && !state.classList.contains(run.state)) {
      return location.reload(); // the words and buttons around it change too
    }
    going ||= OPEN.has(run.state);
  }
  if (going) setTimeout(refresh, 3000);
}
if (bars.length) setTimeout(refresh, 3000);
