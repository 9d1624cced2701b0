// The study editor: line numbers, advice while one types, a warning before typed text is lost.
const form = document.querySelector("[data-editor]");
const area = form.querySelector("textarea");
const gutter = form.querySelector(".gutter");
const verdict = form.querySelector("[data-verdict]");
const list = form.querySelector("[data-problems]");
const plan = form.querySelector("[data-plan]");
const words = JSON.parse(document.getElementById("words").textContent);
const first = area.defaultValue;
let bad = new Set();
let timer = 0;
let asked = 0;

function numbers() {
  const count = area.value.split("\n").length;
  gutter.replaceChildren(...Array.from({ length: count }, (_, index) => {
    const line = document.createElement("span");
    line.textContent = index + 1;
    if (bad.has(index + 1)) line.className = "bad";
    return line;
  }));
  gutter.scrollTop = area.scrollTop;
}

function goTo(line) {
  const lines = area.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(start, start + lines[line - 1].length);
  area.scrollTop = Math.max(0, (line - 5) * (area.scrollHeight / lines.length));
}

function problemItem(problem) {
  const item = document.createElement("li");
  const field = document.createElement("b");
  field.textContent = problem.label || problem.field;
  item.append(field, " ");
  if (problem.label) {
    const path = document.createElement("code");
    path.className = "muted";
    path.textContent = problem.field;
    item.append(path, " ");
  }
  if (problem.line) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = words.line.replace("{}", problem.line);
    button.addEventListener("click", () => goTo(problem.line));
    item.append(button);
  }
  const message = document.createElement("div");
  message.textContent = problem.message;
  const remedy = document.createElement("div");
  remedy.className = "muted";
  remedy.textContent = problem.remedy;
  item.append(message, remedy);
  return item;
}

function show(answer) {
  verdict.className = `verdict ${answer.ok ? "good" : "bad"}`;
  verdict.textContent = answer.ok ? words.fine : answer.message;
  list.replaceChildren(...answer.problems.map(problemItem));
  bad = new Set(answer.problems.map((each) => each.line).filter(Boolean));
  plan.replaceChildren(...(answer.plan ?? []).flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    return [term, detail];
  }));
  numbers();
}

async function check() {
  const number = ++asked;
  try {
    const answer = await fetch(form.dataset.check, { method: "POST", body: new FormData(form) });
    if (number !== asked) return; // a later answer is on its way
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    show(await answer.json());
  } catch {
    verdict.className = "verdict bad";
    verdict.textContent = words.notChecked;
  }
}

area.addEventListener("input", () => {
  numbers();
  clearTimeout(timer);
  timer = setTimeout(check, 350);
});
area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });

const chosen = document.querySelector("[data-editor-file]");
async function take() {
  const [file] = chosen.files;
  if (!file) return;
  area.value = await file.text();
  numbers();
  check();
}
chosen?.addEventListener("change", take);

let saving = false;
form.addEventListener("submit", () => { saving = true; });
addEventListener("beforeunload", (event) => {
  if (!saving && area.value !== first) event.preventDefault();
});

numbers();
check();
if (chosen) take(); // chosen before this script was there
