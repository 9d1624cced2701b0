// Lists that are live: told over a WebSocket that something changed, the page asks for itself again
// and takes over its parts. Focus, what was ticked or typed, and scrolling stay.
import { enrich } from "./page.js";
import { live } from "./socket.js";

const { follow: feed, from = location.href } = document.querySelector("[data-follow]").dataset;
const parts = () => [...document.querySelectorAll("[data-part]")];
const taken = new Map(); // by name: as the server wrote it
const WITHOUT_SOCKET = 15_000;

const key = (e) => [e.tagName, e.id, e.getAttribute("href"), e.getAttribute("action"), e.form?.getAttribute("action"), e.name, e.value].join(" ");
const inside = (part, selector) => [...part.querySelectorAll(selector)];

function take(part, fresh) {
  const focused = part.contains(document.activeElement) ? key(document.activeElement) : "";
  const ticked = new Set(inside(part, "input:checked").map(key));
  const opened = inside(part, "details").map((each) => each.open);
  const scrolled = inside(part, ".table").map((each) => each.scrollLeft);
  part.innerHTML = fresh.innerHTML;
  enrich(part);
  part.dispatchEvent(new Event("taken", { bubbles: true }));
  for (const box of inside(part, "input[type=checkbox]")) if (ticked.has(key(box))) box.checked = true;
  inside(part, "details").forEach((each, at) => { each.open = opened[at] ?? each.open; });
  inside(part, ".table").forEach((each, at) => { each.scrollLeft = scrolled[at] ?? 0; });
  if (focused) inside(part, "a, button, input, select, summary").find((each) => key(each) === focused)?.focus({ preventScroll: true });
}

let asking = false;
let again = false;
async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  const answer = await fetch(from, { headers: { "X-Medfed-Unasked": "1" } }).catch(() => null);
  if (answer?.redirected) location.reload(); // logged out elsewhere: to the log-in
  if (answer?.ok && !answer.redirected) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts()) {
      const fresh = page.querySelector(`[data-part="${part.dataset.part}"]`);
      if (fresh && taken.get(part.dataset.part) !== fresh.innerHTML) {
        taken.set(part.dataset.part, fresh.innerHTML);
        take(part, fresh);
      }
    }
  }
  asking = false;
  if (again) {
    again = false;
    refresh();
  }
}

const socket = live();
let mark = "";
socket.on("connect", () => socket.emit("follow", { [feed]: "all" }));
socket.on("news", (news) => {
  const now = news[feed]?.mark;
  if (now && now !== mark) {
    mark = now;
    refresh();
  }
});
setInterval(() => { if (!socket.connected) refresh(); }, WITHOUT_SOCKET);
