// Looks through a scan: three planes, wheel, keys and clicks; one picture of a plane at a time.
const card = document.querySelector("[data-slices]");
const windowing = card.querySelector("[data-window]");
const outlined = card.querySelector("[data-outlined]");
const planes = new Map();

class Plane {
  constructor(figure) {
    this.name = figure.dataset.plane;
    this.count = Number(figure.dataset.count);
    this.picture = figure.querySelector("img");
    this.slider = figure.querySelector("input");
    this.number = figure.querySelector("[data-number]");
    this.frame = figure.querySelector(".frame");
    this.wanted = "";
    this.busy = false;
    this.slider.addEventListener("input", () => this.show());
    this.frame.addEventListener("wheel", (event) => this.turn(event), { passive: false });
    this.frame.addEventListener("click", (event) => this.point(event));
    for (const end of ["load", "error"]) this.picture.addEventListener(end, () => this.next());
    figure.addEventListener("keydown", (event) => this.press(event));
    this.frame.tabIndex = 0;
  }

  get index() {
    return Number(this.slider.value);
  }

  // A value that a slider cannot take becomes the nearest that it can.
  go(index) {
    this.slider.value = Math.round(index);
    this.show();
  }

  show() {
    const more = outlined?.checked ? "&outlined=1" : "";
    this.wanted = `${card.dataset.slices}/${this.name}/${this.index}.png?window=${windowing.value}${more}`;
    this.number.value = `${this.index + 1} / ${this.count}`;
    if (!this.busy) this.load();
    cross();
  }

  load() {
    this.busy = true;
    this.picture.src = this.wanted;
  }

  // While one was loading, another may have been asked for: those between are left out.
  next() {
    this.busy = false;
    if (this.wanted && this.picture.getAttribute("src") !== this.wanted) this.load();
  }

  turn(event) {
    event.preventDefault();
    this.go(this.index + Math.sign(event.deltaY));
  }

  press(event) {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.go(this.index + steps[event.key]);
  }

  point(event) {
    const box = this.picture.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    const go = (name, part) => planes.get(name).go(part * planes.get(name).count - 0.5);
    if (this.name === "axial") {
      go("sagittal", across);
      go("coronal", down);
    } else {
      go(this.name === "coronal" ? "sagittal" : "coronal", across);
      go("axial", 1 - down); // the head is on top
    }
  }

  mark(across, down) {
    this.frame.style.setProperty("--across", `${across * 100}%`);
    this.frame.style.setProperty("--down", `${down * 100}%`);
  }
}

function cross() {
  const [z, y, x] = ["axial", "coronal", "sagittal"].map((name) => {
    const plane = planes.get(name);
    return (plane.index + 0.5) / plane.count;
  });
  planes.get("axial").mark(x, y);
  planes.get("coronal").mark(x, 1 - z);
  planes.get("sagittal").mark(y, 1 - z);
}

for (const figure of card.querySelectorAll("[data-plane]")) {
  planes.set(figure.dataset.plane, new Plane(figure));
}
for (const input of [windowing, outlined]) {
  input?.addEventListener("change", () => planes.forEach((plane) => plane.show()));
}
cross();
