// A scan and the marks on it, by niivue: three directions and one in depth.
const COLOURS = { "": [255, 159, 28], accepted: [26, 161, 121], corrected: [70, 150, 255], rejected: [150, 150, 150] };
const CHOSEN = [255, 236, 64];
const MOST_LABELS = 256;
const FROM = [160, 12]; // in depth one looks from the front, a little from the side and above
const MARGIN = 0.04;

export class Viewer {
  #nv;
  #over;
  #words;
  #ready = false;
  #opacity = 0.45;

  constructor(canvas, over, words, moved) {
    this.#over = over;
    this.#words = words;
    this.canvas = canvas;
    this.moved = moved;
  }

  async load(scan, marks) {
    const { Niivue, SHOW_RENDER } = globalThis.niivue;
    try {
      this.#nv = new Niivue({
        backColor: [0, 0, 0, 1],
        crosshairColor: [0.35, 0.75, 1, 0.9],
        crosshairWidth: 0.7,
        crosshairWidthUnit: "mm",
        show3Dcrosshair: true,
        dragAndDropEnabled: false,
        isColorbar: false,
        isOrientCube: true,
        multiplanarShowRender: SHOW_RENDER.ALWAYS,
        logLevel: "error",
      });
      this.#nv.onLocationChange = (where) => this.#tell(where);
      await this.#nv.attachToCanvas(this.canvas);
    } catch {
      this.#over.textContent = this.#words.noView;
      return;
    }
    try {
      await this.#nv.loadVolumes([
        { url: scan, name: "scan.nii.gz", colormap: "gray", cal_min: -1350, cal_max: 150 },
        { url: marks, name: "marks.nii.gz", opacity: this.#opacity },
      ]);
    } catch {
      this.#over.textContent = this.#words.noScan;
      return;
    }
    this.#nv.setRadiologicalConvention(true);
    this.#nv.setSliceType(this.#nv.sliceTypeMultiplanar);
    this.#nv.setRenderAzimuthElevation(...FROM);
    this.#cut();
    this.#ready = true;
    this.#over.hidden = true;
    this.canvas.dataset.ready = "true";
  }

  // World coordinates are NIfTI's in niivue (x to the right, y to the front), and DICOM's here.
  go(lps) {
    if (!this.#ready) return;
    const [x, y, z] = lps;
    this.#nv.scene.crosshairPos = this.#nv.mm2frac([-x, -y, z]);
    this.#nv.createOnLocationChange();
    this.#cut();
  }

  // In depth, what lies in front of the crosshair is taken off.
  #cut() {
    const depth = this.#nv.scene.crosshairPos[1] - 0.5 + MARGIN;
    this.#nv.setClipPlane([-depth, 180, 0]);
  }

  turn(plane) {
    if (!this.#ready) return;
    const nv = this.#nv;
    const types = { all: nv.sliceTypeMultiplanar, axial: nv.sliceTypeAxial, coronal: nv.sliceTypeCoronal, sagittal: nv.sliceTypeSagittal, render: nv.sliceTypeRender };
    nv.setSliceType(types[plane]);
  }

  window(low, high) {
    if (!this.#ready) return;
    Object.assign(this.#nv.volumes[0], { cal_min: low, cal_max: high });
    this.#nv.updateGLVolume();
  }

  fade(opacity) {
    this.#opacity = opacity;
    if (this.#ready) this.#nv.setOpacity(1, opacity);
  }

  colour(verdicts, chosen) {
    if (!this.#ready) return;
    const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const [number, verdict] of verdicts) {
      if (number >= MOST_LABELS) continue;
      const [red, green, blue] = number === chosen ? CHOSEN : COLOURS[verdict];
      map.R.push(red);
      map.G.push(green);
      map.B.push(blue);
      map.A.push(verdict === "rejected" && number !== chosen ? 90 : 255);
      map.I.push(number);
      map.labels.push(String(number));
    }
    this.#nv.volumes[1].setColormapLabel(map);
    this.#nv.updateGLVolume();
  }

  #tell(where) {
    const [x, y, z] = where.mm;
    this.moved({ lps: [-x, -y, z], hu: where.values[0]?.value ?? 0 });
  }
}
