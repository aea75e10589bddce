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

/* A slider for one line, under its value. */
osr.LineSlider = class {
  constructor(key, told) {
    const { step } = osr.AXES[key];
    const max = osr.LOGARITHMIC[key].high;
    const id = `osr-line-${key}`;
    this.key = key;
    this.value = osr.el("strong");
    const oninput = () => told(key, Number(this.slider.value));
    this.slider = osr.el("input", { type: "range", id, min: 0, max, step, oninput });
    this.element = osr.el("div", {}, osr.el("label", { for: id }, `line of ${key}: `, this.value), this.slider);
  }

  show(line) {
    this.slider.value = line;
    this.value.textContent = osr.shownLine(this.key, line);
    this.slider.setAttribute("aria-valuetext", this.value.textContent);
  }
};

/* A slider for both lines, in the report's way to draw them: mean + k · std of training digits. */
osr.FactorSlider = class {
  constructor(told) {
    this.value = osr.el("strong");
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
    this.value.textContent = isMoved ? "none: a line was moved by hand" : Number(this.slider.value).toFixed(1);
  }

  lines() {
    const { mean, std } = osr.DISTANCES;
    const line = (key) => mean[key] + Number(this.slider.value) * std[key];
    return { norm: line("norm"), diff: line("diff") };
  }
};

/* What the lines make of the worlds: a table, which is the legend too. */
osr.Counts = class {
  constructor() {
    this.body = osr.el("tbody");
    const heads = ["world", "kind", "accepted", "refused"].map((text) => osr.el("th", { scope: "col" }, text));
    const head = osr.el("thead", {}, osr.el("tr", {}, ...heads));
    this.element = osr.el("table", { class: "table" }, head, this.body);
  }

  show({ rows }) {
    this.body.replaceChildren(...rows.map((row) => this.worldRow(row)), this.strangersRow(rows));
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
    this.scatter = new osr.Scatter(root, this.worlds, this.lines, { told, picked: (dot) => this.look(dot) });
    this.sliders = { norm: new osr.LineSlider("norm", told), diff: new osr.LineSlider("diff", told) };
    this.factor = new osr.FactorSlider(() => this.move(this.factor.lines()));
    this.counts = new osr.Counts();
    this.shown = new osr.Look(() => this.next());
    root.replaceChildren(...this.elements());
    this.scatter.drawPoints();
    this.move(this.factor.lines());
    osr.redrawn(() => this.redraw());
    osr
      .isNear(root)
      .then(() => osr.fetched("dots.js"))
      .then((dots) => this.receive(osr.unpackDots(dots, this.worlds)))
      .catch(() => this.shown.fail("The images could not be loaded. Reload the page to try again."));
  }

  elements() {
    const { norm, diff } = this.sliders;
    const sliders = osr.el("div", {}, norm.element, diff.element, ...this.factor.elements);
    return [
      this.scatter.board,
      this.shown.element,
      osr.el("div", { class: "osr-columns" }, osr.el("div", {}, this.counts.element), sliders),
      osr.el("p", {}, this.note()),
    ];
  }

  /* What is drawn, and what is not seen of it. */
  note() {
    const count = (test) => osr.sum(this.worlds.map((world) => world.norm.filter(test(world)).length));
    const all = count(() => () => true).toLocaleString("en");
    const beyond = count(
      ({ diff }) =>
        (norm, i) =>
          osr.isBeyond(norm, diff[i]),
    ).toLocaleString("en");
    const drawn = this.scatter.shown.toLocaleString("en");
    return (
      `Of each world ${drawn} images are drawn, digits first; all ${all} are counted. Both axes are logarithmic. ` +
      `Of all images, ${beyond} lie beyond an axis: such a dot is drawn at its end.`
    );
  }

  /* The images that can be shown have come: the first to be shown is a letter that gets in. */
  receive(dots) {
    this.scatter.dots = dots;
    this.shown.button.disabled = false;
    this.scatter.drawPoints();
    const isIn = (dot) => dot.name === "letters" && osr.over(dot, this.lines).length === 0;
    this.look(dots.find(isIn) ?? dots[0]);
  }

  /* Shows an image. */
  look(dot) {
    this.scatter.chosen = dot;
    this.shown.paint(dot);
    this.update();
  }

  /* Shows the image after the one that is shown. */
  next() {
    const { dots, chosen } = this.scatter;
    this.look(dots[(dots.indexOf(chosen) + 1) % dots.length]);
  }

  move(lines) {
    Object.assign(this.lines, lines);
    this.update();
  }

  redraw() {
    this.scatter.drawPoints();
    this.update();
  }

  update() {
    const counted = this.count();
    this.scatter.drawLines();
    this.counts.show(counted);
    this.shown.show(counted, this.scatter.chosen, this.lines);
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
};

osr.explored = osr.begin("osr-explorer", osr.Explorer);
