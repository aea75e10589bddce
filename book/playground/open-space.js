/* The open space of chapter 1: a network learns to name points of a plane while the reader watches, and names all others.
 *
 * The numbers are in plane-net.js and plane-scores.js, the map in plane-map.js.
 */
"use strict";

osr.STEPS = { train: 300, moved: 100, frame: 4 }; // of training: for a button, after a move, in a frame that is drawn
osr.BUDGET = 8; // milliseconds of a frame for training, or for the fine map
osr.CELLS = { coarse: 40, moving: 70, fine: 140 }; // of a map, in each direction: on slow machines, in motion, at rest
osr.STRANGE = [
  { x: -12, y: 11 },
  { x: 12, y: 6 },
  { x: 3, y: -15 },
  { x: 0, y: -0.1 },
]; // the unknown points that are there at first

osr.PLANE_LEGEND =
  "The colour of a place tells the class that is named there. It is the stronger, the more calibration points have a higher score, and pale beyond the line, where the rule refuses. " +
  "An unknown point is a cross where it is refused; else it looks like the class that it is taken for, with a thick " +
  `edge. The far plane: of the ${2 * osr.MAPS.far} × ${2 * osr.MAPS.far} unit squares of the far map those whose middles ` +
  `lie farther than ${osr.GAP} from every training point.`;

/* What a hand can do, and what the map shows. */
osr.planeLegend = () => {
  const hint = osr.el("span", { class: "osr-hint" }, "Click or tap to drop an unknown point; drag known ones. ");
  return osr.el("p", {}, hint, osr.PLANE_LEGEND);
};

/* [0, 0, 2] → "2 as circle, 1 as triangle". */
osr.namesOf = (guesses) =>
  osr.PLANE.names
    .map((name, label) => [guesses.filter((guess) => guess === label).length, name])
    .filter(([count]) => count > 0)
    .map(([count, name]) => `${count} as ${name}`)
    .join(", ");

/* The controls above and below the map; told: { look, choose, alpha, … }, what each of them calls. */
osr.planeControls = (told) => {
  const tools = (...children) => osr.el("div", { class: "osr-tools" }, ...children);
  const button = (text, onclick) => osr.el("button", { type: "button", onclick }, text);
  const choice = (key, text, options, onchange) => {
    const entries = Object.entries(options).map(([value, name]) => osr.el("option", { value }, name));
    const select = osr.el("select", { id: `osr-plane-${key}`, onchange }, ...entries);
    return [select, osr.el("label", {}, `${text}: `, select)];
  };
  const names = Object.entries(osr.PLANE_SCORES).map(([key, { name }]) => [key, name]);
  const [score, scoreLabel] = choice("score", "score", Object.fromEntries(names), told.look);
  const maps = { far: "far", near: "near", horizon: "out to the horizon" };
  const [map, mapLabel] = choice("map", "map", maps, told.look);
  const [moves, movesLabel] = choice("moves", "to move", { class: "a whole class", point: "one point" }, told.unchoose);
  const [counter, alphaTold, about] = [osr.el("span"), osr.el("span"), osr.el("p")];
  const range = { type: "range", id: "osr-plane-alpha", min: 1, max: 30, value: 5 };
  const alpha = osr.el("input", { ...range, oninput: told.alpha });
  const label = osr.el("label", { for: range.id }, "α, the share of known points that may be refused: ", alphaTold);
  return {
    ...{ score, map, moves, alpha, alphaTold, counter, about },
    above: [tools(scoreLabel, mapLabel, movesLabel), about],
    below: [
      label,
      alpha,
      tools(button("Train", told.train), button("Train anew", told.anew), counter),
      tools(
        button("Choose what the arrow keys move", told.next),
        button("Drop an unknown point at the cross", told.drop),
        button("Undo", told.undo),
        button("Clear", told.clear),
        button("All as at first", told.first),
      ),
    ],
  };
};

osr.OpenSpace = class {
  constructor(root) {
    this.map = new osr.PlaneMap(root.clientWidth);
    this.cells = osr.CELLS.moving;
    this.told = osr.el("p", { role: "status" });
    this.controls = osr.planeControls({
      look: () => this.look(),
      unchoose: () => this.choose([]),
      alpha: () => this.keep(this.unknown),
      train: () => this.train(osr.STEPS.train),
      anew: () => {
        this.lesson.anew();
        this.train(osr.STEPS.train);
      },
      next: () => {
        this.next();
        this.map.canvas.focus();
      },
      drop: () => this.drop(this.cross),
      undo: () => this.keep(this.unknown.slice(0, -1)),
      clear: () => this.keep([]),
      first: () => this.first(),
    });
    const { above, below } = this.controls;
    root.replaceChildren(...above, this.map.canvas, this.told, ...below, osr.planeLegend());
    this.listen();
    this.first();
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  first() {
    this.lesson = new osr.PlaneLesson();
    this.unknown = osr.STRANGE;
    this.cross = { x: 9, y: 0 };
    this.chosen = []; // what the arrow keys move; the cross, if nothing
    this.train(osr.STEPS.train, false);
  }

  listen() {
    const { canvas } = this.map;
    const keys = {
      n: () => this.next(),
      Enter: () => this.drop(this.cross),
      Backspace: () => this.keep(this.unknown.slice(0, -1)),
    };
    for (const [key, way] of Object.entries({
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, 1],
      ArrowDown: [0, -1],
    })) {
      keys[key] = () => this.move(this.chosen, (way[0] * this.map.half) / 30, (way[1] * this.map.half) / 30);
    }
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    // where a finger takes a point, the page does not scroll under it
    const still = (event) => this.held && event.preventDefault();
    canvas.addEventListener("touchstart", still, { passive: false });
    osr.follow(
      canvas,
      (at) => this.take(at),
      (at) => this.drag(at),
    );
    canvas.addEventListener("click", (event) => !this.held && this.drop(this.map.place(osr.where(canvas, event))));
  }

  /* Takes the nearest known point, if one is near; else a click drops an unknown point. */
  take(at) {
    const place = this.map.place(at);
    const point = this.lesson.nearest(place);
    const isNear = (Math.hypot(point.x - place.x, point.y - place.y) * this.map.side) / (2 * this.map.half) <= 22;
    this.held = isNear ? place : null;
    if (isNear) this.choose(this.lesson.group(point, this.controls.moves.value === "class"));
    return isNear;
  }

  drag(at) {
    const place = this.map.place(at);
    this.move(this.chosen, place.x - this.held.x, place.y - this.held.y);
    this.held = place;
  }

  move(points, x, y) {
    const inside = (value) => Math.min(this.map.half, Math.max(-this.map.half, value));
    for (const point of points.length ? points : [this.cross]) {
      point.x = inside(point.x + x);
      point.y = inside(point.y + y);
    }
    if (points.length) this.train(osr.STEPS.moved, true);
    else this.draw();
  }

  choose(points) {
    this.chosen = points;
    this.draw();
  }

  /* The keyboard's way to choose: the cross, then one class or point after the other. */
  next() {
    const isClass = this.controls.moves.value === "class";
    const { training } = this.lesson;
    const step = isClass ? osr.PLANE.training : 1;
    const at = this.chosen.length ? training.indexOf(this.chosen[0]) + step : 0;
    this.choose(at < training.length ? this.lesson.group(training[at], isClass) : []);
    const name = osr.PLANE.names[training[at]?.label];
    const what = isClass ? `the ${name}s` : `${name} ${(at % osr.PLANE.training) + 1}`;
    this.tell(`The arrow keys move ${name ? what : "the cross"}.`);
  }

  /* Which class the rule names at a place; undefined where it refuses. */
  verdict({ x, y }) {
    const { rule } = this.field;
    return rule.score(x, y) > this.line ? undefined : rule.guess;
  }

  drop({ x, y }) {
    if (!this.field) return; // nothing is trained yet
    const label = this.verdict({ x, y });
    const said = label === undefined ? "refused" : `accepted as ${osr.PLANE.names[label]}`;
    this.keep([...this.unknown, { x, y }], `The new point is ${said}.`);
  }

  keep(unknown, said) {
    this.unknown = unknown;
    this.draw();
    this.tell(said);
  }

  /* Trains for so many steps, in parts of frames; shows: whether the map follows. */
  train(steps, shows = !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    Object.assign(this, { left: steps, shows, far: null });
    this.soon();
  }

  soon() {
    this.told.setAttribute("aria-busy", "true");
    if (!this.waits) requestAnimationFrame(() => this.frame());
    this.waits = true;
  }

  /* A frame's work: some steps of training and a coarse map, or a part of the fine one. */
  frame() {
    this.waits = false;
    if (this.left > 0) this.learn();
    else this.refine();
    if (!this.far) this.soon();
  }

  learn() {
    const end = performance.now() + osr.BUDGET;
    for (let step = 0; this.left > 0 && performance.now() < end && !(this.shows && step === osr.STEPS.frame); step++) {
      this.lesson.step();
      this.left--;
    }
    this.controls.counter.textContent = `${this.lesson.steps} steps trained`;
    if (this.shows || this.left === 0) this.look();
  }

  /* Looks at the plane by the rule as it now is: a coarse map at once, then a fine one. */
  look() {
    const { training, calibration, nets } = this.lesson;
    const key = this.controls.score.value;
    const rule = new osr.PlaneRule(key, nets, training, calibration);
    this.controls.about.textContent = osr.PLANE_SCORES[key].told;
    this.map.half = osr.MAPS[this.controls.map.value];
    const start = performance.now();
    this.field = new osr.PlaneField(rule, this.map.half, this.cells);
    this.field.fill(Number.POSITIVE_INFINITY);
    const took = ((performance.now() - start) * osr.CELLS.moving ** 2) / this.cells ** 2;
    this.cells = took > osr.BUDGET ? osr.CELLS.coarse : osr.CELLS.moving; // of the next map
    this.fine = new osr.PlaneField(rule, this.map.half, osr.CELLS.fine);
    this.far = null;
    this.draw();
    this.soon();
  }

  /* The fine map, then what is told of the far plane: a part in each frame. */
  refine() {
    if (!this.fine.fill(osr.BUDGET)) return;
    if (this.field !== this.fine) {
      this.field = this.fine;
      this.draw();
      return;
    }
    this.far = osr.farPlane(this.field.rule, this.lesson.nets.softmax, this.lesson.training);
    this.tell();
    this.told.setAttribute("aria-busy", "false");
  }

  get alpha() {
    return Number(this.controls.alpha.value) / 100;
  }

  draw() {
    this.controls.alphaTold.textContent = osr.percent(this.alpha, 0);
    this.line = this.field?.rule.line(this.alpha);
    const { lesson, field, line, unknown, chosen, cross } = this;
    this.map.show({ ...lesson, field, line, unknown, chosen, cross });
  }

  /* Says what the rule makes of the far plane, of calibration points and of unknown ones; said: what goes before. */
  tell(said = "") {
    this.said = said || this.said;
    if (!this.far) return; // it will be told with the fine map
    const text = [this.said, this.farWords(this.field.rule), this.unknownWords()].join(" ").trim();
    this.said = "";
    this.told.textContent = text;
  }

  farWords({ key, known }) {
    const { scores, sure } = this.far;
    const accepted = 1 - osr.countAbove(scores, this.line) / scores.length;
    return (
      `By the score ${osr.PLANE_SCORES[key].name}, ${osr.percent(accepted, 1)} of the far plane is accepted, and ` +
      `${osr.countAbove(known, this.line)} of ${known.length} calibration points are refused. ` +
      `In ${osr.percent(sure, 1)} of the far plane the largest softmax probability is above 0.99.`
    );
  }

  unknownWords() {
    const labels = this.unknown.map((point) => this.verdict(point)).filter((label) => label !== undefined);
    const names = labels.length ? ` (${osr.namesOf(labels)})` : "";
    return this.unknown.length ? `Unknown points accepted: ${labels.length} of ${this.unknown.length}${names}.` : "";
  }
};

osr.space = osr.begin("osr-open-space", osr.OpenSpace);
