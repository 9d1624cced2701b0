// Findings of a scan: looked at in the viewer, looked over one by one.
import { following } from "./inference_live.js";
import { Viewer } from "./viewer.js";
import { COLON, LIST } from "./signs.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const words = read("words");
const now = read("now");
const about = read("standing");
const find = (name) => document.querySelector(`[data-${name}]`);
const clock = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
const form = find("review");

let findings = about.findings;
let chosen = 0;
let place = null;

const last = (finding) => finding.reviews.at(-1);
const changes = (finding) => last(finding)?.changes ?? {};
const diameter = (finding) => changes(finding).diameter_mm ?? finding.model.longest_axial_diameter_mm;
const kind = (finding) => changes(finding).attenuation ?? finding.model.attenuation;
const centre = (finding) => changes(finding).centre_mm ?? finding.model.centre_world_lps_mm;
const millimetres = (value) => `${value.toFixed(1)} mm`;
const verdict = (finding) => last(finding)?.verdict ?? "";

// --- the viewer ----------------------------------------------------------------------------------

const viewer = new Viewer(find("canvas"), find("over"), words, (where) => {
  place = where.lps;
  find("where").textContent = `${where.lps.map((v) => v.toFixed(1)).join(" / ")} mm · ${Math.round(where.hu)} HU`;
  const crosshair = find("crosshair");
  if (crosshair) crosshair.textContent = where.lps.map((v) => v.toFixed(1)).join(" / ");
});

function press(selector, button) {
  document.querySelectorAll(selector).forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
}

document.querySelectorAll("[data-plane]").forEach((button) => button.addEventListener("click", () => {
  press("[data-plane]", button);
  viewer.turn(button.dataset.plane);
}));
document.querySelectorAll("[data-window]").forEach((button) => button.addEventListener("click", () => {
  press("[data-window]", button);
  viewer.window(...button.dataset.window.split(" ").map(Number));
}));
find("marks").addEventListener("input", (event) => viewer.fade(Number(event.target.value)));

// --- the table -----------------------------------------------------------------------------------

function fill() {
  for (const finding of findings) {
    const row = document.querySelector(`[data-findings] [data-number="${finding.number}"]`);
    const cell = (name) => row.querySelector(`[data-cell="${name}"]`);
    cell("diameter").textContent = millimetres(diameter(finding));
    cell("kind").textContent = words.kinds[kind(finding)] ?? kind(finding);
    const state = document.createElement("span");
    state.className = `state verdict-${verdict(finding) || "open"}`;
    state.textContent = words.verdicts[verdict(finding)];
    cell("verdict").replaceChildren(state);
    row.classList.toggle("chosen", finding.number === chosen);
  }
  const left = findings.filter((finding) => !last(finding)).length;
  if (find("left")) find("left").textContent = left ? words.left.replace("{}", left) : words.all;
  if (find("sign")) {
    find("sign").disabled = left > 0;
    find("seen").value = Math.max(0, ...findings.map((finding) => last(finding)?.id ?? 0)); // what is signed
  }
  viewer.colour(findings.map((finding) => [finding.number, verdict(finding)]), chosen);
}

function choose(number) {
  const finding = findings.find((each) => each.number === number);
  if (!finding) return;
  chosen = number;
  viewer.go(centre(finding));
  fill();
  detail(finding);
}

find("findings")?.addEventListener("click", (event) => {
  const row = event.target.closest("[data-number]");
  if (row) choose(Number(row.dataset.number));
});

// --- one finding ---------------------------------------------------------------------------------

function entry(name, value) {
  const term = document.createElement("dt");
  const said = document.createElement("dd");
  term.textContent = name;
  said.textContent = value;
  return [term, said];
}

function detail(finding) {
  find("detail").hidden = false;
  find("name").textContent = finding.number;
  find("facts").replaceChildren(
    ...entry(words.diameter, millimetres(diameter(finding))),
    ...entry(words.attenuation, words.kinds[kind(finding)] ?? kind(finding)),
    ...entry(words.centre, centre(finding).map((v) => v.toFixed(1)).join(" / ") + " mm"),
  );
  find("history").replaceChildren(...finding.reviews.map(said));
  if (!form) return;
  form.reset();
  find("correction").open = false;
  find("trouble").hidden = true;
}

function said(review) {
  const item = document.createElement("li");
  const what = document.createElement("b");
  what.textContent = words.verdicts[review.verdict];
  const fact = (name, value) => words.fact.replace("{name}", name).replace("{value}", value);
  const parts = Object.entries(review.changes).map(([name, value]) => {
    if (name === "diameter_mm") return fact(words.diameter, millimetres(value));
    if (name === "attenuation") return fact(words.attenuation, words.kinds[value] ?? value);
    return fact(words.centre, `${value.map((v) => v.toFixed(1)).join(" / ")} mm`);
  });
  const who = document.createElement("span");
  who.className = "muted";
  who.textContent = words.by.replace("{who}", review.reviewer).replace("{when}", clock.format(new Date(review.at)));
  item.append(what, parts.length ? `${COLON}${parts.join(LIST)} ` : " ", who);
  if (review.comment) {
    const comment = document.createElement("div");
    comment.textContent = review.comment;
    item.append(comment);
  }
  return item;
}

function wanted(data) {
  const given = {};
  if (data.get("diameter_mm")) given.diameter_mm = Number(data.get("diameter_mm"));
  if (data.get("attenuation")) given.attenuation = data.get("attenuation");
  if (data.get("centre") && place) given.centre_mm = place;
  return given;
}

async function judge(said) {
  const finding = findings.find((each) => each.number === chosen);
  const data = new FormData(form);
  const body = {
    verdict: said,
    comment: data.get("comment"),
    changes: said === "corrected" ? wanted(data) : {},
    last: last(finding)?.id ?? 0,
  };
  const answer = await fetch(about.judge + finding.number, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content },
    body: JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(`${told.message} ${told.remedy}`);
  findings = told.findings;
  const next = findings.find((each) => !last(each));
  choose(next && said !== "corrected" ? next.number : finding.number);
}

// The enter key in a field of the correction means the correction; of a form it is the first button.
// A key that is held down is no verdict on the next findings.
form?.addEventListener("keydown", (event) => {
  if (event.repeat && event.target.matches("button")) event.preventDefault();
  if (event.key !== "Enter" || !event.target.matches("[data-correction] input, [data-correction] select")) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("[value=corrected]"));
});

let judging = false; // a second click is no verdict on the next finding

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (judging) return;
  const trouble = find("trouble");
  trouble.hidden = true;
  const said = event.submitter?.value ?? "accepted";
  if (said === "corrected" && !find("correction").open) {
    find("correction").open = true;
    form.elements.diameter_mm.focus();
    return;
  }
  judging = true;
  try {
    if (said !== "corrected" && Object.keys(wanted(new FormData(form))).length) throw new Error(words.typed);
    await judge(said);
  } catch (error) {
    trouble.textContent = error instanceof SyntaxError || error instanceof TypeError ? words.notSaved : error.message;
    trouble.hidden = false;
  } finally {
    judging = false;
  }
});

// --- begin ---------------------------------------------------------------------------------------

fill();
await viewer.load(about.scan, about.marks);
fill();
if (findings.length) choose(findings[0].number);
if (["queued", "running"].includes(now.state)) {
  following(now.id, words, (news) => {
    if (news.state !== now.state && news.state !== "running") location.reload();
  });
}
