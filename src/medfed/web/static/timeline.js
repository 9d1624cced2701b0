// Who did what when: a lane for each hospital, drawn from the events of a run.
import { COLON, COMMA } from "./signs.js";

const SVG = "http://www.w3.org/2000/svg";
const ROUNDS = 12; // exchanges that are shown
const LANE = 26;
const LEFT = 112;
const NARROWEST = 300;

const draw = (tag, attributes, ...children) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// When the last hospital of an exchange answered; nothing while one has not.
function lastAnswer({ sites, replies, missing }) {
  const answers = sites.map((site) => replies.get(site) ?? missing.get(site));
  return answers.includes(undefined) ? null : Math.max(...answers);
}

export class Timeline {
  constructor(place, sites, words) {
    Object.assign(this, { place, sites, words, exchanges: [], usual: new Map(), before: false, over: false });
    addEventListener("resize", () => this.draw(this.over));
  }

  // An exchange begins with its orders and ends with its aggregate.
  take(event) {
    const at = Date.parse(event.at) / 1000;
    const { body } = event;
    const now = this.exchanges.at(-1);
    if (event.kind === "RoundStarted") {
      if (now && now.end === null) now.end = at;
      this.exchanges.push({ round: body.round, purpose: body.purpose, sites: body.sites, start: at, end: null, coming: new Map(), replies: new Map(), missing: new Map() });
      if (this.exchanges.length > ROUNDS) this.before = Boolean(this.exchanges.shift());
    } else if (event.kind === "ReplyComing" && now) now.coming.set(body.site, at);
    else if (event.kind === "ReplyCounted" && now) {
      now.replies.set(body.site, at);
      this.usual.set(body.site, [...(this.usual.get(body.site) ?? []).slice(-8), at - now.start]);
    } else if (event.kind === "SiteMissing" && now) now.missing.set(body.site, at);
    else if (event.kind === "RoundFinished" && now && now.end === null) now.end = at;
    else if (event.kind === "RunFinished" && now && now.end === null) now.end = lastAnswer(now) ?? at;
  }

  // What a hospital does now: its state, and since when.
  state(site, over) {
    const now = this.exchanges.at(-1);
    if (!now || over || now.end !== null || !now.sites.includes(site)) return ["", 0];
    if (now.missing.has(site)) return ["missing", now.missing.get(site)];
    if (now.replies.has(site)) return lastAnswer(now) ? ["", 0] : ["waiting", now.replies.get(site)];
    if (now.coming.has(site)) return ["coming", now.coming.get(site)];
    const waited = Date.now() / 1000 - now.start;
    const lengths = [...(this.usual.get(site) ?? [])].sort((a, b) => a - b);
    const usual = lengths[Math.floor(lengths.length / 2)];
    return [usual !== undefined && waited > Math.max(3, 2 * usual) ? "late" : now.purpose, now.start];
  }

  draw(over) {
    this.over = over;
    const shown = this.exchanges;
    this.place.closest("[data-timeline-card]").hidden = !shown.length;
    if (!shown.length) return;
    const width = Math.max(NARROWEST, this.place.clientWidth);
    const start = shown[0].start;
    const last = over ? Math.max(...shown.map((each) => each.end ?? each.start)) : Date.now() / 1000;
    const scale = (width - LEFT - 8) / Math.max(0.001, last - start);
    const x = (moment) => LEFT + (Math.min(moment, last) - start) * scale;
    const height = this.sites.length * LANE + 30;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this.words.timeline, class: "timeline" });
    let free = 0;
    for (const each of shown) {
      svg.append(draw("line", { x1: x(each.start), x2: x(each.start), y1: 0, y2: height - 22, class: "mark" }));
      if (each.purpose !== "train" || x(each.start) < free) continue;
      svg.append(draw("text", { x: x(each.start) + 3, y: height - 8, class: "axis" }, String(each.round)));
      free = x(each.start) + 10 + 8 * String(each.round).length; // none is written over another
    }
    if (this.before) svg.append(draw("text", { x: LEFT - 8, y: height - 8, class: "lane" }, "…"));
    this.sites.forEach((site, lane) => this.lane(svg, site, lane * LANE, { shown, x, last }));
    this.place.replaceChildren(svg);
  }

  lane(svg, site, top, { shown, x, last }) {
    svg.append(draw("text", { x: LEFT - 8, y: top + 17, class: "lane" }, site.length > 15 ? `${site.slice(0, 14)}…` : site));
    for (const each of shown.filter((one) => one.sites.includes(site))) {
      const end = lastAnswer(each) ?? each.end ?? last; // then the coordinator works
      const answered = each.replies.get(site) ?? each.missing.get(site) ?? end;
      const kind = each.missing.has(site) ? "missing" : each.purpose;
      const bar = (from, to, name) => {
        const title = draw("title", {}, `${site}${COMMA}${this.words.roundOf.replace("{}", each.round)}${COLON}${this.words[name] ?? name}${COMMA}${(to - from).toFixed(2)} s`);
        return draw("rect", { x: x(from), y: top + 5, width: Math.max(1.5, x(to) - x(from)), height: 16, rx: 3, class: name }, title);
      };
      const coming = kind === "missing" ? undefined : each.coming.get(site);
      svg.append(bar(each.start, coming ?? answered, kind));
      if (coming !== undefined) svg.append(bar(coming, answered, "coming"));
      if (end > answered) svg.append(bar(answered, end, "waiting"));
    }
  }
}
