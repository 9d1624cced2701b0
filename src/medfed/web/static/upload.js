// Sends files bit by bit by the TUS protocol, so that a break costs nothing, and has them imported.
import { COLON, SEMICOLON } from "./signs.js";

const form = document.querySelector("[data-upload]");
const words = JSON.parse(document.getElementById("words").textContent);
const list = form.querySelector("[data-list]");
const send = form.querySelector("[data-send]");
const trouble = form.querySelector("[data-trouble]");
const endings = form.dataset.endings.split(" ");
const NUMBERED = /^[\w-]*(\.\d+)*$/;
const AT_ONCE = 3;
const CHUNK = 64 * 1024 * 1024;
const PAUSES = [0, 500, 1000, 2000, 4000, 8000, 16000, 30000];
const chosen = new Map();
let importId = form.dataset.import;
let sending = false;
let began = 0;

const token = () => document.querySelector("meta[name=csrf-token]").content;
const fill = (text, ...values) => values.reduce((done, value) => done.replace("{}", value), text);

// What a service says, as a sentence with its end.
const STOP = document.documentElement.lang.startsWith("zh") ? "\u3002" : ".";
const whole = (text) => (/[.!?\u3002]$/.test(text) ? text : `${text}${STOP}`);
const tell = (error) => `${whole(error.message)} ${error.remedy ? whole(error.remedy) : ""}`;

function size(bytes) {
  for (const [unit, step] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= step) return `${(bytes / step).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}

function complain(text) {
  trouble.hidden = !text;
  trouble.querySelector("span").textContent = text;
}

function taken(name) {
  const last = name.split("/").pop();
  const low = last.toLowerCase();
  return last === "manifest.json" || endings.some((end) => low.endsWith(end)) || NUMBERED.test(last);
}

// Pairs of a name, which may have folders, and a file.
function add(files) {
  const left = [];
  if (files.some(([name]) => name.includes("/"))) form.querySelector('[value="folder"]').checked = true;
  for (const [name, file] of files) {
    if (chosen.has(name) || name.split("/").some((part) => part.startsWith("."))) continue;
    if (!taken(name)) left.push(`${name} ${words.wrongKind}`);
    else if (file.size > Number(form.dataset.largest)) left.push(`${name} ${words.tooLarge}`);
    else chosen.set(name, line(name, file));
  }
  for (const name of chosen.keys()) {
    const raw = name.replace(/\.mhd$/i, "");
    const pair = [".raw", ".zraw", ".RAW"].some((end) => chosen.has(raw + end));
    if (/\.mhd$/i.test(name) && !pair && files.length === 1) left.push(name + COLON + words.noRaw);
  }
  complain(left.slice(0, 5).join(SEMICOLON));
  show();
}

// What was dropped may be a folder: all files in it and below.
async function within(entry, above = "") {
  if (entry instanceof File) return [[entry.name, entry]];
  if (entry.isFile) {
    const file = await new Promise((good, bad) => entry.file(good, bad));
    return [[above + file.name, file]];
  }
  const reader = entry.createReader();
  const inside = [];
  for (let some = [null]; some.length; inside.push(...some)) {
    some = await new Promise((good, bad) => reader.readEntries(good, bad)); // a hundred at a time
  }
  return (await Promise.all(inside.map((each) => within(each, `${above}${entry.name}/`)))).flat();
}

function line(name, file) {
  const item = document.createElement("li");
  const label = document.createElement("span");
  const bar = document.createElement("progress");
  const said = document.createElement("span");
  label.className = "wrap";
  label.textContent = name;
  said.className = "muted nowrap";
  said.textContent = size(file.size);
  [bar.max, bar.value] = [1, 0];
  bar.setAttribute("aria-label", name);
  item.append(label, bar, said);
  list.append(item);
  return { name, file, bar, said, done: 0, whole: false };
}

function show() {
  const all = [...chosen.values()];
  const bytes = all.reduce((sum, one) => sum + one.file.size, 0);
  const done = all.reduce((sum, one) => sum + one.done, 0);
  form.querySelector("[data-chosen]").hidden = !all.length;
  form.querySelector("[data-sum]").textContent = fill(words.sum, size(done), size(bytes));
  const bar = form.querySelector("[data-all]");
  bar.hidden = !sending;
  bar.querySelector("progress").value = bytes ? done / bytes : 0;
  const passed = (Date.now() - began) / 1000;
  const left = done && passed > 3 ? Math.ceil((passed / done) * (bytes - done)) : 0;
  bar.querySelector("[data-left]").textContent = left ? fill(words.left, left) : "";
  send.disabled = sending || !all.length;
}

async function call(path, method, body) {
  const answer = await fetch(form.dataset.endpoint + path, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRFToken": token(), Accept: "application/json" },
    body: body && JSON.stringify(body),
  });
  const said = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw new Error(tell(said.error));
  return said;
}

function options() {
  const given = new FormData(form);
  const naming = given.get("naming");
  const flags = ["keep_characteristics", "keep_links", "accept_doubts"];
  return {
    naming: naming === "one" ? "file" : naming,
    patient: naming === "one" ? given.get("patient") : null,
    ...Object.fromEntries(flags.map((name) => [name, given.has(name)])),
  };
}

function sendOne(one, url) {
  return new Promise((good, bad) => {
    const upload = new tus.Upload(one.file, {
      endpoint: `${form.dataset.endpoint}/uploads`,
      uploadUrl: url,
      chunkSize: CHUNK,
      retryDelays: PAUSES,
      storeFingerprintForResuming: false,
      headers: { "X-CSRFToken": token() },
      metadata: { filename: one.name, import: importId },
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        const again = status === 0 || status === 409 || status >= 500;
        if (again && status !== 507) one.said.textContent = words.again;
        return again && status !== 507;
      },
      onProgress: (sent) => {
        one.done = sent;
        one.bar.value = one.file.size ? sent / one.file.size : 1;
        one.said.textContent = `${size(sent)} / ${size(one.file.size)}`;
        show();
      },
      onError: (error) => bad(new Error(why(error))),
      onSuccess: () => {
        Object.assign(one, { whole: true, done: one.file.size });
        one.bar.value = 1;
        one.said.textContent = words.sent;
        show();
        good();
      },
    });
    upload.start();
  });
}

function why(error) {
  try {
    return tell(JSON.parse(error.originalResponse.getBody()).error);
  } catch {
    return words.failed;
  }
}

async function sendAll() {
  const known = new Map((await call(`/imports/${importId}/files`, "GET")).items.map((one) => [one.name, one]));
  const waiting = [...chosen.values()].filter((one) => !one.whole);
  let failed = null;
  async function next() {
    while (waiting.length && !failed) {
      const one = waiting.shift();
      const there = known.get(one.name);
      const url = there && there.length === one.file.size ? `${form.dataset.endpoint}/uploads/${there.id}` : null;
      try {
        await sendOne(one, url);
      } catch (error) {
        one.said.textContent = fill(words.refused, error.message);
        failed = error;
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  if (failed) throw failed;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  [sending, began] = [true, Date.now()];
  show();
  try {
    if (!importId) {
      importId = (await call("/imports", "POST", options())).id;
      history.replaceState(null, "", `?import=${importId}`);
    }
    await sendAll();
    await call(`/imports/${importId}/start`, "POST");
    sending = false;
    location.assign(form.dataset.page + importId);
  } catch (error) {
    sending = false;
    complain(error.message || words.failed);
    show();
  }
});

for (const input of form.querySelectorAll("[data-files], [data-folder]")) {
  const take = () => {
    add([...input.files].map((file) => [file.webkitRelativePath || file.name, file]));
    input.value = "";
  };
  input.addEventListener("change", take);
  if (input.files.length) take(); // chosen before this script was there: the network may be slow
}
form.querySelector("[name=patient]").addEventListener("input", () => {
  form.querySelector('[value="one"]').checked = true;
});

const drop = form.querySelector("[data-drop]");
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind !== "drop") return;
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const dropped = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
    Promise.all(dropped.map((each) => within(each))).then((found) => add(found.flat()));
  });
}
addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});
