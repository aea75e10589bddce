/* The ROC curve of chapter 2 by hand: two heaps of dots, one line to move, and the place on the curve where it lies.
 *
 * A pair is { known, unknown, colour, score, step }: scores, larger for what looks more unknown, their name, and the
 * slider's step. What lies above the line is refused.
 */
"use strict";

/* The chapter's ten images: six digits, four letters. */
osr.DOTS = 500; // of each heap, at most
osr.TEN = { known: [0.1, 0.2, 0.3, 0.4, 0.5, 0.8], unknown: [0.35, 0.6, 0.7, 0.9] };

/* The corners of the curve: [known refused, unknown refused], shares, as the line moves down past each score. */
osr.roc = (known, unknown) => {
  const largest = (values) => Float64Array.from(values).sort().reverse();
  const [digits, strangers] = [largest(known), largest(unknown)];
  const corners = [[0, 0]];
  let [i, j] = [0, 0];
  while (i < digits.length || j < strangers.length) {
    const score = Math.max(digits[i] ?? Number.NEGATIVE_INFINITY, strangers[j] ?? Number.NEGATIVE_INFINITY);
    while (digits[i] === score) i++; // images of one score are refused together
    while (strangers[j] === score) j++;
    corners.push([i / digits.length, j / strangers.length]);
  }
  return corners;
};

/* The area below the curve. */
osr.area = (corners) => osr.sum(corners.slice(1).map(([x, y], i) => ((x - corners[i][0]) * (y + corners[i][1])) / 2));

osr.refused = (values, line) => values.reduce((count, value) => count + (value > line), 0);

/* A picture with two halves of its own: dots along an axis of scores, and the curve. */
osr.RocBoard = class {
  height = 280;
  edge = 12;
  bottom = 38;

  constructor(root, moved) {
    this.root = root;
    this.dots = this.canvas(
      "Scores of known images, below, and unknown ones, above, with a line. The slider moves it.",
    );
    this.curve = this.canvas("The ROC curve, with a mark where the line lies.");
    this.dots.classList.add("osr-drag");
    osr.follow(
      this.dots,
      () => true,
      ([x]) => moved(this.score(x)),
    );
  }

  canvas(label) {
    return osr.el("canvas", { class: "osr-chart", role: "img", "aria-label": label });
  }

  x(score) {
    return this.edge + (Math.min(score, this.top) / this.top) * (this.width - 2 * this.edge);
  }

  score(x) {
    return Math.min(1, Math.max(0, (x - this.edge) / (this.width - 2 * this.edge))) * this.top;
  }

  show(pair, top, corners, line) {
    this.top = top;
    this.width = Math.min(340, this.root.clientWidth);
    this.ink = osr.textColour(this.dots);
    this.showDots(pair, line);
    this.showCurve(corners, [osr.share(pair.known, line), osr.share(pair.unknown, line)]);
  }

  showDots({ known, unknown, colour, world, score }, line) {
    const context = this.begin(this.dots, this.width);
    const half = (this.height - this.bottom) / 2;
    this.heap(context, known, osr.COLOURS.mnist, half, half);
    this.heap(context, unknown, colour, 0, half);
    context.fillStyle = this.ink;
    context.fillText(world ? `unknown: ${world}` : "unknown", this.edge, 14);
    context.fillText("known", this.edge, this.height - this.bottom - 2);
    context.textAlign = "center";
    for (let i = 0; i <= 5; i++) {
      const value = (this.top * i) / 5;
      context.fillText(Number(value.toFixed(1)), this.x(value), this.height - this.bottom + 17);
    }
    context.fillText(score, this.width / 2, this.height - 4);
    context.setLineDash([6, 5]);
    this.path(context, [
      [this.x(line), 0],
      [this.x(line), this.height - this.bottom],
    ]);
  }

  /* Dots of one kind, spread over a band from y on so that they do not hide each other. */
  heap(context, values, colour, y, height) {
    const count = Math.min(osr.DOTS, values.length);
    const radius = values.length > 20 ? 2 : 6;
    context.fillStyle = colour;
    context.globalAlpha = values.length > 20 ? 0.5 : 1;
    for (let dot = 0; dot < count; dot++) {
      const i = (dot * values.length) / count;
      const turn = values.length > 20 ? (i * 0.618034) % 1 : 0.5;
      context.beginPath();
      context.arc(this.x(values[Math.floor(i)]), y + 20 + turn * (height - 40), radius, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  showCurve(corners, [x, y]) {
    const width = Math.min(this.height, this.width);
    const context = this.begin(this.curve, width);
    const side = width - this.bottom - this.edge;
    const place = ([right, up]) => [this.bottom + right * side, this.edge + (1 - up) * side];
    context.fillStyle = this.ink;
    context.textAlign = "center";
    context.fillText("known refused", this.bottom + side / 2, this.edge + side + 24);
    context.save();
    context.translate(20, this.edge + side / 2);
    context.rotate(-Math.PI / 2);
    context.fillText("unknown refused", 0, 0);
    context.restore();
    context.lineWidth = 1;
    this.path(
      context,
      [
        [0, 1],
        [0, 0],
        [1, 0],
      ].map(place),
    );
    context.lineWidth = 2;
    this.path(context, corners.map(place));
    context.fillStyle = osr.PALETTE.vermilion;
    context.beginPath();
    context.arc(...place([x, y]), 7, 0, 2 * Math.PI);
    context.fill();
  }

  begin(canvas, width) {
    const context = osr.sharp(canvas, width, this.height);
    context.strokeStyle = this.ink;
    context.setLineDash([]);
    context.lineWidth = 2;
    context.font = "14px sans-serif";
    context.textAlign = "left";
    return context;
  }

  path(context, points) {
    context.beginPath();
    for (const point of points) context.lineTo(...point);
    context.stroke();
  }
};

osr.share = (values, line) => osr.refused(values, line) / values.length;

/* The ten images as a pair, with the step that osr.AXES has for other scores. */
osr.ten = () => ({ ...osr.TEN, colour: osr.PALETTE.vermilion, score: "score", step: 0.01 });

/* What a dot stands for. */
osr.dotsWords = ({ known, unknown }) => {
  if (Math.max(known.length, unknown.length) <= osr.DOTS) return "Each dot is an image.";
  const count = (values) => values.length.toLocaleString("en");
  return `${osr.DOTS} dots stand for ${count(known)} known images, and ${osr.DOTS} for ${count(unknown)} unknown ones.`;
};

osr.RocByHand = class {
  constructor(root) {
    const worlds = osr.DISTANCES.worlds.filter(({ known }) => !known).map(({ name }) => name);
    this.world = this.choice("world", "images", ["the ten images", ...worlds]);
    this.key = this.choice("key", "score", ["norm", "diff"]);
    this.board = new osr.RocBoard(root, (line) => this.move(line));
    const oninput = () => this.move(Number(this.slider.value));
    this.slider = osr.el("input", { type: "range", id: "osr-roc-line", min: 0, oninput });
    this.lineTold = osr.el("strong");
    this.dotsTold = osr.el("p", { class: "osr-small-print" });
    this.told = osr.el("p", { role: "status" });
    root.replaceChildren(
      osr.el("div", { class: "osr-tools" }, this.world.label, this.key.label),
      osr.el("div", { class: "osr-tools" }, this.board.dots, this.board.curve),
      this.dotsTold,
      osr.el("label", { for: "osr-roc-line" }, "line: ", this.lineTold),
      this.slider,
      this.told,
    );
    this.choose();
    osr.redrawn(() => this.move(this.line));
  }

  choice(key, text, names) {
    const onchange = () => this.choose();
    const select = osr.el(
      "select",
      { id: `osr-roc-${key}`, onchange },
      ...names.map((name) => osr.el("option", {}, name)),
    );
    return { select, label: osr.el("label", {}, `${text}: `, select) };
  }

  /* Two heaps: the ten images, or digits beside a world that the report's network has looked at. */
  choose() {
    const [world, key] = [this.world.select.value, this.key.select.value];
    const isTen = world === "the ten images";
    this.key.label.hidden = isTen;
    this.pair = isTen ? osr.ten() : this.measured(world, key);
    this.top = isTen ? 1 : this.end(osr.AXES[key].tick);
    Object.assign(this.slider, { max: this.top, step: this.pair.step });
    this.dotsTold.textContent = osr.dotsWords(this.pair);
    this.corners = osr.roc(this.pair.known, this.pair.unknown);
    this.move(isTen ? 0.55 : osr.quantile(this.pair.known, 0.95));
  }

  measured(world, key) {
    const values = (name) => osr.distance(osr.DISTANCES.worlds.find((one) => one.name === name)[key], key);
    const colour = osr.COLOURS[world];
    return { ...osr.AXES[key], known: values("mnist"), unknown: values(world), colour, world, score: key };
  }

  /* Where an axis ends that shows all scores. */
  end(tick) {
    const largest = [this.pair.known, this.pair.unknown].map((values) => values.reduce((a, b) => Math.max(a, b)));
    return tick * Math.ceil(Math.max(...largest) / tick);
  }

  move(line) {
    this.line = line;
    const place = `${this.pair.score} ${Number(line.toFixed(2))}`;
    this.slider.value = line;
    this.slider.setAttribute("aria-valuetext", place);
    this.lineTold.textContent = place;
    this.board.show(this.pair, this.top, this.corners, line);
    const { known, unknown } = this.pair;
    const told = (values) =>
      `${osr.refused(values, line).toLocaleString("en")} of ${values.length.toLocaleString("en")}`;
    this.told.textContent =
      `The line at ${place} refuses ${told(known)} known images (${osr.percent(osr.share(known, line), 1)}) and ` +
      `${told(unknown)} unknown ones (${osr.percent(osr.share(unknown, line), 1)}). ` +
      `Area under the curve: ${osr.area(this.corners).toFixed(3)}.`;
  }
};

osr.byHand = osr.begin("osr-roc", osr.RocByHand);
