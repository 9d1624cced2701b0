// The wizard's fields: a part with its options, a table, or one value, each with its explanation.
import { LIST } from "./signs.js";

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

export function asked(ask, wizard) {
  if (ask.field) return [field(ask.field, wizard.about.fields[ask.field], wizard)];
  if (ask.table) return [table(ask, wizard)];
  if (ask.list) return listed(ask, wizard);
  return [ask.several ? several(ask, wizard) : part(ask, wizard)];
}

// --- parts ----------------------------------------------------------------------------------------

function part(ask, wizard) {
  const { about, plan, set, draw } = wizard;
  const members = about.parts[ask.part];
  const chosen = plan[ask.part]?.name ?? "";
  const names = Object.keys(members);
  const empty = ask.optional || !chosen ? [["", about.words.none]] : [];
  const unknown = chosen && !names.includes(chosen) ? [[chosen, chosen]] : [];
  const select = choice([...empty, ...unknown, ...titles(members)], chosen);
  select.dataset.path = ask.part;
  select.addEventListener("change", () => {
    set(ask.part, select.value ? kept(plan[ask.part], select.value, members) : undefined);
    draw();
  });
  const box = make("fieldset", { className: "part" }, make("legend", {}, ask.label));
  const summary = make("p", { className: "muted" }, members[chosen]?.summary ?? "");
  box.append(make("label", {}, make("span", { className: "hidden" }, ask.label), select, complaint(ask.part)), summary, explained(members, about.words));
  if (members[chosen]) box.append(...options(ask.part, members[chosen].options, wizard));
  return box;
}

// What people call parts, and what the study's text calls them.
const titles = (members) => Object.entries(members).map(([name, { title }]) => [name, both(title, name)]);
const both = (title, name) => (title === String(name) ? title : `${title} (${name})`);

// All that can be chosen, each explained.
function explained(members, words) {
  const list = make("dl", { className: "facts" });
  for (const [name, { title, summary }] of Object.entries(members)) {
    list.append(make("dt", {}, title, " ", make("code", {}, name)), make("dd", {}, summary));
  }
  return make("details", { className: "each" }, make("summary", {}, words.each), list);
}

// What was set and exists in the new part too stays set.
function kept(old, name, members) {
  const known = new Set(members[name].options.map((each) => each.name));
  return { name, ...Object.fromEntries(Object.entries(old ?? {}).filter(([key]) => known.has(key))) };
}

function several(ask, wizard) {
  const { about, plan, draw, set } = wizard;
  const box = make("fieldset", { className: "part" }, make("legend", { className: "hidden" }, ask.label), complaint("privacy"));
  for (const [name, member] of Object.entries(about.parts[ask.part])) {
    const index = (plan.privacy ?? []).findIndex((each) => each.name === name);
    const tick = make("input", { type: "checkbox", checked: index >= 0 });
    tick.dataset.path = index >= 0 ? `privacy[${index}]` : `privacy+${name}`;
    tick.addEventListener("change", () => {
      plan.privacy = (plan.privacy ?? []).filter((each) => each.name !== name);
      if (tick.checked) plan.privacy.push({ name });
      set("privacy", plan.privacy);
      draw();
    });
    box.append(make("label", { className: "check" }, tick, make("span", {}, make("b", {}, member.title), " ", make("code", {}, name), " ", make("span", { className: "muted" }, member.summary))));
    if (index >= 0) box.append(complaint(`privacy[${index}]`), make("div", { className: "part" }, ...options(`privacy[${index}]`, member.options, wizard)));
  }
  return box;
}

// Parts of which there may be several of one kind: each can be changed and removed.
function listed(ask, wizard) {
  const { about: { parts, words }, plan, draw, set } = wizard;
  const members = parts[ask.part];
  const names = Object.keys(members);
  const all = () => plan[ask.list] ?? [];
  const keep = (entries) => { set(ask.list, entries.length ? entries : undefined); draw(); };
  const boxes = all().map((entry, index) => {
    const path = `${ask.list}[${index}]`;
    const select = choice(titles(members), entry.name);
    select.dataset.path = path;
    select.addEventListener("change", () => keep(all().map((each, at) => (at === index ? kept(each, select.value, members) : each))));
    const remove = make("button", { type: "button", className: "quiet" }, words.remove);
    remove.addEventListener("click", () => keep(all().filter((_, at) => at !== index)));
    const box = make("fieldset", { className: "part" }, make("legend", {}, `${ask.label} ${index + 1}`));
    box.append(make("label", {}, make("span", {}, words.kind), select, complaint(path)), make("p", { className: "muted" }, members[entry.name]?.summary ?? ""));
    if (members[entry.name]) box.append(...options(path, members[entry.name].options, wizard));
    box.append(remove);
    return box;
  });
  const add = make("button", { type: "button" }, words.add);
  add.dataset.path = ask.list;
  add.addEventListener("click", () => keep([...all(), { name: names[0] }]));
  return [...boxes, make("div", { className: "row" }, add, complaint(ask.list))];
}

function table(ask, wizard) {
  const { about, plan, set, draw } = wizard;
  const there = plan[ask.table] !== undefined;
  const tick = make("input", { type: "checkbox", checked: there });
  tick.dataset.path = ask.table;
  tick.addEventListener("change", () => { set(ask.table, tick.checked ? {} : undefined); draw(); });
  const box = make("fieldset", { className: "part" }, make("label", { className: "check" }, tick, ask.label), complaint(ask.table));
  const own = Object.entries(about.fields).filter(([path]) => path.startsWith(`${ask.table}.`));
  if (there) box.append(...own.map(([path, option]) => field(path, option, wizard)));
  return box;
}

// What is needed or set is open to see; the rest waits behind a summary.
function options(prefix, all, wizard) {
  const set = (option) => option.required || wizard.get(`${prefix}.${option.name}`) !== undefined;
  const draw = (option) => field(`${prefix}.${option.name}`, option, wizard);
  const rest = all.filter((option) => !set(option));
  const shown = all.filter(set).map(draw);
  if (!rest.length) return shown;
  const more = make("details", {}, make("summary", {}, wizard.about.words.more.replace("{}", rest.length)));
  more.append(make("div", { className: "fields" }, ...rest.map(draw)));
  return [make("div", { className: "fields" }, ...shown), more];
}

// --- one value ------------------------------------------------------------------------------------

function field(path, option, wizard) {
  const { about: { words } } = wizard;
  const control = input(option, wizard.get(path), words);
  control.dataset.path = path;
  control.addEventListener(control.tagName === "SELECT" ? "change" : "input", () => wizard.set(path, value(option, control.value)));
  const name = make("span", { className: "name" }, make("b", {}, option.label), make("code", {}, option.name), option.required ? make("i", {}, words.required) : "");
  return make("label", { className: "field" }, name, control, make("small", { className: "muted" }, hint(option, words)), complaint(path));
}

function complaint(path) {
  const box = make("small", { className: "complaint" });
  box.dataset.complaint = path;
  return box;
}

function hint(option, words) {
  const form = option.form.endsWith("s") ? (option.form === "texts" ? words.lines : words.list) : option.form === "table" ? words.pairs : "";
  return [option.help, bounds(option, words), form].filter(Boolean).join(" · ");
}

function bounds({ low, high, above }, words) {
  if (low !== null && high !== null) return words.between.replace("{low}", low).replace("{high}", high);
  if (low !== null) return words.least.replace("{}", low);
  if (above !== null) return words.above.replace("{}", above);
  return high !== null ? words.most.replace("{}", high) : "";
}

function input(option, given, words) {
  const silent = option.required || option.default === null ? "" : usually(option, words);
  const usual = silent && words.usual.replace("{}", silent);
  if (option.choices.length) return choice([["", usual || words.silent], ...option.choices.map((each, at) => [each, both(option.called[at], each)])], given ?? "");
  if (option.form === "truth") return choice([["", usual || words.silent], ["true", words.yes], ["false", words.no]], given === undefined ? "" : String(given));
  const text = given === undefined ? "" : shown(option, given);
  if (["texts", "table"].includes(option.form)) return make("textarea", { value: text, rows: Math.min(6, Math.max(2, text.split("\n").length)), placeholder: usual, spellcheck: false });
  const kind = ["number", "whole"].includes(option.form) ? { inputMode: "decimal" } : {};
  return make("input", { type: "text", value: text, placeholder: usual, spellcheck: false, autocomplete: "off", ...kind });
}

// What is taken where nothing is said, in words and not as TOML writes it.
function usually(option, words) {
  const { choices, called, default: given, form } = option;
  if (form === "truth") return given ? words.yes : words.no;
  if (choices.includes(given)) return called[choices.indexOf(given)];
  return shown(option, given).replaceAll("\n", LIST);
}

function choice(pairs, chosen) {
  return make("select", {}, ...pairs.map(([key, word]) => make("option", { value: key, selected: String(key) === String(chosen) }, word)));
}

function shown(option, given) {
  if (option.form === "texts" && Array.isArray(given)) return given.join("\n");
  if (option.form.endsWith("s") && Array.isArray(given)) return given.join(", ");
  if (typeof given !== "object") return String(given);
  return Object.entries(given).map(([key, each]) => `${key} = ${manyNumbers(each) ? each.join(", ") : JSON.stringify(each)}`).join("\n");
}

const manyNumbers = (given) => Array.isArray(given) && given.length > 1 && given.every((each) => typeof each === "number");

// What was typed as what TOML holds; what cannot be read stays text, and the server says so.
export function value(option, text) {
  if (text.trim() === "" && !(option.form === "text" && text)) return undefined;
  if (option.form === "texts") return text.split("\n").map((each) => each.trim()).filter(Boolean);
  if (option.form.endsWith("s")) return plain(text).split(",").filter((each) => each.trim()).map(number);
  if (option.form === "truth") return text === "true";
  if (["number", "whole"].includes(option.form)) return number(text);
  return option.form === "table" ? tableOf(text) : text;
}

// A Chinese keyboard has digits, commas and signs of its own; what else looks alike stays what it is.
const narrow = (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0);
const plain = (text) => text.replace(/[\uff01-\uff5e]/g, narrow).replaceAll("\u3000", " ").replaceAll("\u2212", "-").replaceAll("\u3001", ",");

function number(typed) {
  const text = plain(typed).trim();
  const read = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : NaN;
  return told(read) ? read : text;
}

// Whether a number is told as it was typed: none rounded, and none too large for JSON.
const told = (read) => Number.isFinite(read) && (Number.isSafeInteger(read) || !Number.isInteger(read));

function tableOf(text) {
  const pairs = text.split("\n").filter((line) => line.trim()).map((line) => line.match(/^\s*(.+?)\s*[=\uff1d]\s*(.+?)\s*$/));
  if (pairs.includes(null)) return text;
  const named = new Map(pairs.map(([, key, each]) => [bare(key), read(each)]));
  return named.size === pairs.length ? Object.fromEntries(named) : text; // one named twice would be lost
}

// As in TOML, a name may stand in quotes.
const bare = (key) => key.replace(/^"(.+)"$/, "$1");

// What JSON cannot hold, or would round, stays as it was typed.
function read(text) {
  let sound = true;
  try {
    const outside = text.replace(/"(?:[^"\\]|\\.)*"|[^"]+/g, (each) => (each.startsWith('"') ? each : plain(each)));
    const found = JSON.parse(outside, (_, each) => {
      sound &&= each !== null && (typeof each !== "number" || told(each));
      return each;
    });
    return sound ? found : text;
  } catch { return severalOf(text) ?? text; }
}

// Values with commas between them, as people write several; what begins like TOML is left as it is.
function severalOf(text) {
  const parts = plain(text).split(",").map((each) => each.trim());
  return parts.length > 1 && parts.every(Boolean) && !/^[[{"]/.test(text) ? parts.map(read) : null;
}
