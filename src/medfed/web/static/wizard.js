// The study wizard: a step at a time; the server writes the text and says what contradicts itself.
import { lost } from "./session.js";
import { asked } from "./wizard_fields.js";

const about = JSON.parse(document.getElementById("wizard").textContent);
const { plan, steps, words } = about;
const find = (name) => document.querySelector(`[data-${name}]`);
const form = find("save");
let token = document.querySelector('meta[name="csrf-token"]').content;
let at = 0;
let problems = [];
let waiting = 0;
let number = 0;
let changed = false;
let said = false; // whether the server's answer is about what stands in the fields now
let wanted = false; // whether Save was pressed before it was

// --- the plan -------------------------------------------------------------------------------------

// A field's path is that of the server's complaints: rounds, cohort.where, privacy[0].epsilon.
function holder(path, make = false) {
  const keys = path.replace(/\[(\d+)\]/g, ".$1").split(".");
  const name = keys.pop();
  let table = plan;
  for (const key of keys) {
    if (table[key] === undefined && make) table[key] = {};
    table = table[key] ?? {};
  }
  return [table, name];
}

function get(path) {
  const [table, name] = holder(path);
  return table[name];
}

function set(path, given) {
  const [table, name] = holder(path, given !== undefined);
  if (given === undefined) delete table[name];
  else table[name] = given;
  for (const key of ["cohort", "sampling"]) if (plan[key] && !Object.keys(plan[key]).length) delete plan[key];
  changed = true;
  said = wanted = false;
  number += 1; // an answer that is on its way is about an older plan
  plan.privacy = (plan.privacy ?? []).filter(Boolean);
  if (!plan.privacy.length) delete plan.privacy;
  later();
}

// --- what the server says -------------------------------------------------------------------------

function later() {
  clearTimeout(pricing); // what it cost before it was changed is of no use
  asking.abort();
  clearTimeout(waiting);
  waiting = setTimeout(check, 250);
}

const AGAIN_MS = 3000;
const PATIENCE_MS = 20000; // an answer that is not there by then is lost

async function check() {
  const mine = ++number;
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token, "Accept-Language": document.documentElement.lang };
  try {
    const answer = await fetch("/api/v1/studies/compose", { method: "POST", headers, body: JSON.stringify({ plan }), signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(String(answer.status));
    const found = await answer.json();
    if (mine !== number) return; // a later answer is on its way
    said = true;
    show(found);
  } catch {
    const out = await lost();
    if (mine !== number) return;
    say(out ? words.loggedOut : words.notChecked);
    waiting = setTimeout(out ? comeBack : check, AGAIN_MS);
  }
}

// What was written so far is not lost with the log-in: after another, in another tab, it goes on here.
async function comeBack() {
  const mine = number;
  const here = (await lost()) === false && (await fetch(location.href).catch(() => null));
  if (mine !== number) return;
  if (!here?.ok || here.redirected) {
    say(words.loggedOut);
    waiting = setTimeout(comeBack, AGAIN_MS);
    return;
  }
  const page = new DOMParser().parseFromString(await here.text(), "text/html");
  token = page.querySelector('meta[name="csrf-token"]').content;
  form.elements.csrf_token.value = token;
  check();
}

function say(message) {
  show({ ok: false, message, problems: [], toml: find("toml").textContent });
}

function show(answer) {
  problems = answer.problems;
  find("verdict").className = `verdict ${answer.ok ? "good" : "bad"}`;
  find("verdict").textContent = answer.ok ? words.fine : answer.message;
  find("problems").replaceChildren(...problems.map(problemItem));
  find("toml").textContent = answer.toml;
  form.elements.toml.value = answer.toml;
  form.querySelector("button").disabled = !answer.ok;
  drawSteps();
  complain();
  priceLater(answer.ok);
  if (wanted && said) {
    wanted = false;
    if (answer.ok) form.requestSubmit();
  }
}

// --- what it costs ----------------------------------------------------------------------------------

let pricing = 0;
let price = 0;
let sound = false; // whether the study can be counted at all
let counted = true;
let asking = new AbortController();

function priceLater(ok) {
  clearTimeout(pricing);
  asking.abort();
  price += 1;
  sound = ok;
  counted = false;
  countLater();
}

// Counting takes a second and a process at the server: only on a step that shows what it costs, and
// when nobody has typed for a while.
function countLater() {
  if (counted || !steps[at].costs) return;
  counted = true;
  if (!sound) return tell([words.notCounted]);
  tell([words.counting]);
  const mine = price;
  pricing = setTimeout(() => count(mine), 700);
}

async function count(mine) {
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token, "Accept-Language": document.documentElement.lang };
  asking = new AbortController();
  try {
    const answer = await fetch("/api/v1/studies/protections", { method: "POST", headers, signal: asking.signal, body: JSON.stringify({ plan }) });
    if (mine !== price) return; // another study by now
    if (!answer.ok) throw new Error(String(answer.status));
    const { protections } = await answer.json();
    tell(protections.flatMap((each) => [make("b", each.name), ...each.sentences]));
    if (!protections.length) tell([words.free]);
  } catch {
    if (mine === price) tell([words.notCounted]);
  }
}

function make(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function tell(lines) {
  find("cost").replaceChildren(...lines.map((line) => (typeof line === "string" ? make("p", line) : line)));
}

function problemItem(problem) {
  const item = document.createElement("li");
  const go = document.createElement("button");
  go.type = "button";
  go.className = "quiet";
  go.textContent = problem.label || problem.field;
  go.addEventListener("click", () => goTo(stepOf(problem.field), problem.field));
  const message = document.createElement("div");
  message.textContent = problem.message;
  const remedy = document.createElement("div");
  remedy.className = "muted";
  remedy.textContent = problem.remedy;
  item.append(go, ...(problem.label ? [" ", path(problem.field)] : []), message, remedy);
  return item;
}

// What the study's text calls it, beside what people do.
function path(field) {
  const element = make("code", field);
  element.className = "muted";
  return element;
}

const KIND_OF = { privacy: "mechanism", statistics: "query" };

function stepOf(field) {
  const head = field.split(/[.[]/)[0];
  const has = (ask) => ask.field === field || ask.field?.split(".")[0] === head || ask.part === (KIND_OF[head] ?? head) || ask.table === head;
  return Math.max(0, steps.findIndex((step) => step.asks.some(has)));
}

// The complaint stands under its field, too, which is then open to see.
function complain() {
  const boxes = [...document.querySelectorAll("[data-complaint]")];
  for (const box of boxes) {
    const own = problems.filter((each) => boxOf(each.field, boxes) === box);
    box.replaceChildren(...own.map((each) => make("span", `${each.message} ${each.remedy}`)));
    box.parentElement.querySelector("input, select, textarea")?.setAttribute("aria-invalid", String(own.length > 0));
    if (own.length) box.closest("details")?.setAttribute("open", "");
  }
}

// The field itself, else what holds it (that of a part's name), else the first that it holds (a
// table without a frame of its own).
function boxOf(field, boxes) {
  const at = (path) => boxes.find((box) => box.dataset.complaint === path);
  const above = field.replace(/\.[^.]+$/, "");
  return at(field) ?? at(above) ?? boxes.find((box) => box.dataset.complaint.startsWith(`${field}.`));
}

// --- the steps ------------------------------------------------------------------------------------

function drawSteps() {
  const bad = new Set(problems.map((each) => stepOf(each.field)));
  find("steps").replaceChildren(...steps.map((step, index) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = bad.has(index) ? "bad" : "";
    if (index === at) button.setAttribute("aria-current", "step");
    const count = document.createElement("b");
    count.textContent = bad.has(index) ? "!" : index + 1;
    button.append(count, step.name);
    button.addEventListener("click", () => goTo(index));
    item.append(button);
    return item;
  }));
  showStep();
}

// On a phone the steps are one line that is wider than the screen.
function showStep() {
  const line = find("steps");
  const step = line.querySelector("[aria-current]");
  line.scrollLeft = step.offsetLeft - line.offsetLeft - (line.clientWidth - step.offsetWidth) / 2;
}

function goTo(index, field = "") {
  at = index;
  draw();
  drawSteps();
  const wanted = field && document.querySelector(`[data-path="${CSS.escape(field)}"]`);
  if (wanted) {
    wanted.closest("details")?.setAttribute("open", "");
    wanted.focus();
  } else find("name").focus();
}

function draw() {
  const step = steps[at];
  find("name").textContent = step.name;
  find("about").textContent = step.about;
  find("fields").replaceChildren(...step.asks.flatMap((ask) => asked(ask, { about, plan, get, set, draw })));
  find("costs").hidden = !step.costs;
  countLater();
  find("back").disabled = at === 0;
  find("next").hidden = at === steps.length - 1;
  complain();
}

find("back").addEventListener("click", () => goTo(at - 1));
find("next").addEventListener("click", () => goTo(at + 1));
let saving = false;
form.addEventListener("submit", (event) => {
  saving = said;
  if (said) return;
  event.preventDefault(); // what was typed last is to be saved, too, and only if it is in order
  wanted = true;
  clearTimeout(waiting);
  check();
});
addEventListener("beforeunload", (event) => {
  if (changed && !saving) event.preventDefault();
});

draw();
drawSteps();
addEventListener("resize", showStep);
check();
