/* The threshold explorer of chapter 6: two lines to drag or to move by keyboard, and what they cost, at once.
 *
 * A world is { name, known, scored, norm, diff, right }: the two distances of all its images and, of digits, whether the
 * classifier is right. The lines are { norm, diff }: what lies above one of them is refused.
 */
"use strict";

/* A world as the build packed it. */
osr.unpackWorld = ({ name, known, norm, diff, right }) => ({
  name,
  known,
  scored: osr.DISTANCES.scored.includes(name),
  norm: osr.distance(norm, "norm"),
  diff: osr.distance(diff, "diff"),
  right: known ? osr.bytes(right) : null,
});

/* Of how many images of a world the lines make something, and what: refused, correct. */
osr.countWorld = ({ name, known, scored, norm, diff, right }, lines) => {
  let refused = 0;
  let named = 0; // accepted, and by the right digit
  for (let i = 0; i < norm.length; i++) {
    if (norm[i] > lines.norm || diff[i] > lines.diff) refused++;
    else if (known && right[i]) named++;
  }
  return { name, known, scored, images: norm.length, refused, correct: known ? named : refused };
};

/* What the lines make of all worlds, one row a world, and of those of the report's result: three accuracies. */
osr.count = (worlds, lines) => {
  const rows = worlds.map((world) => osr.countWorld(world, lines));
  const scored = rows.filter((row) => row.scored);
  return {
    rows,
    mnist: osr.accuracy(scored.filter((row) => row.known)),
    ood: osr.accuracy(scored.filter((row) => !row.known)),
    total: osr.accuracy(scored),
  };
};

osr.accuracy = (rows) => osr.sum(rows.map((row) => row.correct)) / osr.sum(rows.map((row) => row.images));

/* The scatter of diff over norm, with two lines that can be dragged: then told(key, value) is called. */
osr.Scatter = class {
  width = 560;
  height = 380;
  left = 46; // room for the numbers of the axes
  bottom = 36;
  edge = 12;
  shown = 1200; // points of each world

  constructor(worlds, lines, told) {
    this.worlds = worlds;
    this.lines = lines;
    const size = { width: this.width, height: this.height };
    this.points = osr.el("canvas", size); // thousands are too many for every move of a line: drawn once for each theme
    this.board = osr.el("canvas", {
      ...size,
      class: "osr-scatter",
      role: "img",
      "aria-label":
        "Scatter of diff over norm for digits and unknown images, with a line for each. The sliders below move the lines.",
    });
    this.dragged = null;
    // where a finger takes a line, the page does not scroll under it
    const still = (event) => this.take(osr.where(this.board, event.touches[0])) && event.preventDefault();
    this.board.addEventListener("touchstart", still, { passive: false });
    osr.follow(this.board, this.take.bind(this), (point) => told(this.dragged, this.value(this.dragged, point)));
  }

  /* Where values lie on the canvas, and back; what lies beyond an axis is drawn at its end. */
  x(norm) {
    const { top } = osr.AXES.norm;
    return this.left + (Math.min(norm, top) / top) * (this.width - this.left - this.edge);
  }

  y(diff) {
    const { top } = osr.AXES.diff;
    return this.height - this.bottom - (Math.min(diff, top) / top) * (this.height - this.bottom - this.edge);
  }

  value(key, [x, y]) {
    const share =
      key === "norm"
        ? (x - this.left) / (this.width - this.left - this.edge)
        : (this.height - this.bottom - y) / (this.height - this.bottom - this.edge);
    return Math.min(1, Math.max(0, share)) * osr.AXES[key].top;
  }

  /* Takes the nearer line, if it is near. */
  take([x, y]) {
    const toNorm = Math.abs(x - this.x(this.lines.norm));
    const toDiff = Math.abs(y - this.y(this.lines.diff));
    this.dragged = toNorm < toDiff ? "norm" : "diff";
    const shrunk = this.width / this.board.getBoundingClientRect().width;
    return Math.min(toNorm, toDiff) <= 22 * shrunk; // a finger needs 44 pixels
  }

  drawPoints() {
    const context = this.points.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    context.globalAlpha = 0.35;
    // in turns, so that no world hides another
    for (let turn = 0; turn < this.shown; turn++) {
      for (const world of this.worlds) this.drawPoint(context, world, turn / this.shown);
    }
    context.globalAlpha = 1;
    this.drawAxes(context);
  }

  /* One point of a world; share: how far on among its images. */
  drawPoint(context, { name, norm, diff }, share) {
    const i = Math.floor(share * norm.length);
    context.fillStyle = osr.COLOURS[name];
    context.fillRect(this.x(norm[i]) - 1.5, this.y(diff[i]) - 1.5, 3, 3);
  }

  drawAxes(context) {
    const { norm, diff } = osr.AXES;
    const floor = this.height - this.bottom;
    context.fillStyle = this.ink();
    context.font = "15px sans-serif";
    context.textAlign = "left";
    context.fillText("diff", this.left + 6, 18);
    context.textAlign = "center";
    context.fillText("norm", this.width / 2, this.height - 2);
    for (let value = 0; value <= norm.top; value += norm.tick) context.fillText(value, this.x(value), floor + 16);
    context.textAlign = "right";
    for (let value = 0; value <= diff.top; value += diff.tick)
      context.fillText(value, this.left - 6, this.y(value) + 5);
  }

  drawLines() {
    const context = this.board.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    context.drawImage(this.points, 0, 0);
    context.strokeStyle = this.ink();
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(this.x(this.lines.norm), 0);
    context.lineTo(this.x(this.lines.norm), this.height - this.bottom);
    context.moveTo(this.left, this.y(this.lines.diff));
    context.lineTo(this.width, this.y(this.lines.diff));
    context.stroke();
  }

  /* The colour of text in this theme, light or dark. */
  ink() {
    return getComputedStyle(this.board).getPropertyValue("--pst-color-text-base") || "#000";
  }
};

/* A slider for one line, under its value. */
osr.LineSlider = class {
  constructor(key, told) {
    const { top, step, decimals } = osr.AXES[key];
    const id = `osr-line-${key}`;
    this.decimals = decimals;
    this.value = osr.el("output");
    const oninput = () => told(key, Number(this.slider.value));
    this.slider = osr.el("input", { type: "range", id, min: 0, max: top, step, oninput });
    this.element = osr.el("div", {}, osr.el("label", { for: id }, `line of ${key}: `, this.value), this.slider);
  }

  show(line) {
    this.slider.value = line;
    this.value.value = line.toFixed(this.decimals);
  }
};

/* A slider for both lines, in the report's way to draw them: mean + k · std of training digits. */
osr.FactorSlider = class {
  constructor(told) {
    this.value = osr.el("output");
    this.slider = osr.el("input", {
      type: "range",
      id: "osr-factor",
      min: 0,
      max: 5,
      step: 0.1,
      value: 2,
      oninput: told,
    });
    const label = osr.el("label", { for: "osr-factor" }, "mean + k · std of training digits, k = ", this.value);
    const back = () => {
      this.slider.value = 2;
      told();
    };
    const button = osr.el("button", { type: "button", onclick: back }, "The report's lines: k = 2");
    this.elements = [label, this.slider, button];
  }

  show({ norm, diff }) {
    const own = this.lines();
    const isMoved = norm !== own.norm || diff !== own.diff;
    this.value.value = isMoved ? "none: a line was moved by hand" : Number(this.slider.value).toFixed(1);
  }

  lines() {
    const { mean, std } = osr.DISTANCES;
    const line = (key) => mean[key] + Number(this.slider.value) * std[key];
    return { norm: line("norm"), diff: line("diff") };
  }
};

/* What the lines make of the worlds: three accuracies and a table. */
osr.Counts = class {
  constructor() {
    const output = (key) => osr.el("output", { id: `osr-told-${key}` });
    this.accuracies = { mnist: output("mnist"), ood: output("ood"), total: output("total") };
    this.body = osr.el("tbody");
    const { mnist, ood, total } = this.accuracies;
    const heads = ["world", "", "accepted", "refused"].map((text) => osr.el("th", {}, text));
    const head = osr.el("thead", {}, osr.el("tr", {}, ...heads));
    this.element = osr.el(
      "div",
      {},
      osr.el("p", {}, "MNIST ", mnist, " · OOD ", ood, " · total ", total),
      osr.el("table", { class: "table" }, head, this.body),
    );
  }

  show(counted) {
    for (const [key, output] of Object.entries(this.accuracies)) output.value = osr.percent(counted[key], 2);
    this.body.replaceChildren(...counted.rows.map((row) => this.worldRow(row)), this.strangersRow(counted.rows));
  }

  worldRow({ name, known, images, refused }) {
    const swatch = osr.el("span", { class: "osr-swatch", style: `background:${osr.COLOURS[name]}` });
    return this.row([swatch, name], known ? "known" : "unknown", images, refused);
  }

  /* The unknown worlds of the report's result, together. */
  strangersRow(rows) {
    const strangers = rows.filter(({ known, scored }) => scored && !known);
    const images = osr.sum(strangers.map((row) => row.images));
    const refused = osr.sum(strangers.map((row) => row.refused));
    return this.row([strangers.map(({ name }) => name).join(" + ")], "OOD", images, refused);
  }

  row(head, kind, images, refused) {
    const cells = [kind, images - refused, refused].map((content) => osr.el("td", {}, String(content)));
    return osr.el("tr", {}, osr.el("th", { scope: "row" }, ...head), ...cells);
  }
};

osr.Explorer = class {
  constructor(root) {
    const told = (key, value) => this.move({ [key]: value });
    this.worlds = osr.DISTANCES.worlds.map(osr.unpackWorld);
    this.lines = {};
    this.scatter = new osr.Scatter(this.worlds, this.lines, told);
    this.sliders = { norm: new osr.LineSlider("norm", told), diff: new osr.LineSlider("diff", told) };
    this.factor = new osr.FactorSlider(() => this.move(this.factor.lines()));
    this.counts = new osr.Counts();
    root.replaceChildren(...this.elements());
    this.scatter.drawPoints();
    this.move(this.factor.lines());
    this.followTheme();
  }

  elements() {
    const { norm, diff } = this.sliders;
    return [
      this.scatter.board,
      osr.el(
        "p",
        {},
        "Some thousand images of each world are drawn; all are counted. What lies beyond an axis is drawn at its end.",
      ),
      osr.el(
        "div",
        { class: "osr-columns" },
        osr.el("div", {}, norm.element, diff.element, ...this.factor.elements),
        this.counts.element,
      ),
    ];
  }

  move(lines) {
    Object.assign(this.lines, lines);
    this.update();
  }

  update() {
    this.scatter.drawLines();
    this.counts.show(this.count());
    for (const [key, slider] of Object.entries(this.sliders)) slider.show(this.lines[key]);
    this.factor.show(this.lines);
  }

  /* What the lines make of all images, not of the drawn ones alone. */
  count() {
    return osr.count(this.worlds, this.lines);
  }

  /* Where two values lie on the canvas. */
  place({ norm, diff }) {
    return { norm: this.scatter.x(norm), diff: this.scatter.y(diff) };
  }

  followTheme() {
    const redraw = () => {
      this.scatter.drawPoints();
      this.update();
    };
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }
};

osr.explored = osr.begin("osr-explorer", osr.Explorer);
