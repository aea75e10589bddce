/* The promise of chapters 6 and 11 by hand: calibrate again and again, and see what known images pay; then break it.
 *
 * Scores are ranks, all that a conformal line looks at: osr.RANKS has those of test digits (known), of the same digits
 * drawn with other pens (pens) and of letters (strange), by the rule of chapter 8.
 */
"use strict";

osr.NEW = 1000; // images that come after each calibration

/* The scores that the build wrote. */
osr.ranks = () => {
  const [known, pens, strange] = ["mnist", "pens", "letters"].map((name) => osr.bytes(osr.RANKS[name]).buffer);
  return { known: new Uint16Array(known), pens: new Uint16Array(pens), strange: new Uint16Array(strange) };
};

/* So many values, drawn without replacement. */
osr.draw = (values, size, random) => {
  const left = values.slice();
  for (let i = 0; i < size; i++) {
    const j = i + Math.floor(random() * (left.length - i));
    [left[i], left[j]] = [left[j], left[i]];
  }
  return left.subarray(0, size);
};

/* One calibration on n images, a share of which are strange, and what comes of it: how many of the new images it refuses,
 * which are known or drawn with other pens, and which share of strange ones that took no part. */
osr.calibrate = ({ known, pens, strange }, { n, alpha, dirty, otherPens }, random) => {
  const intruders = Math.round(dirty * n);
  const digits = osr.draw(known, n - intruders + osr.NEW, random);
  const letters = osr.draw(strange, strange.length, random);
  const scores = new Uint16Array(n);
  scores.set(digits.subarray(osr.NEW));
  scores.set(letters.subarray(0, intruders), n - intruders);
  const line = scores.sort()[osr.rankOfLine(n, alpha) - 1];
  const come = otherPens ? osr.draw(pens, osr.NEW, random) : digits.subarray(0, osr.NEW);
  const unseen = letters.subarray(intruders);
  return { refused: osr.countAbove(come, line), strange: osr.countAbove(unseen, line) / unseen.length };
};

/* How probable 0, 1, … of so many new images are to be refused, if the promise holds: the beta-binomial distribution. */
osr.betaBinomial = (images, n, alpha) => {
  const rank = osr.rankOfLine(n, alpha);
  const [a, b] = [n + 1 - rank, rank];
  let log = 0;
  for (let j = 0; j < images; j++) log += Math.log((b + j) / (a + b + j));
  const probabilities = new Float64Array(images + 1);
  for (let x = 0; x <= images; x++) {
    probabilities[x] = Math.exp(log);
    log += Math.log(((images - x) * (a + x)) / ((x + 1) * (b + images - x - 1)));
  }
  return probabilities;
};

/* Bars of how often each number of refusals came, over the curve of what the promise allows to expect. */
osr.PriceHistogram = class {
  height = 300;
  left = 10;
  bottom = 40;

  constructor(root) {
    this.root = root;
    this.canvas = osr.el("canvas", { class: "osr-chart", role: "img" });
  }

  show(counts, expected, alpha) {
    this.width = Math.min(560, this.root.clientWidth);
    this.context = osr.sharp(this.canvas, this.width, this.height);
    const most = Math.max(osr.NEW * alpha * 2.5, ...counts);
    const step = Math.max(1, Math.ceil(most / 45));
    const bins = new Float64Array(Math.ceil((most + 1) / step));
    for (const count of counts) bins[Math.floor(count / step)]++;
    const curve = bins.map((_, i) => counts.length * osr.sum(expected.slice(i * step, (i + 1) * step)));
    const scale = { x: (this.width - 2 * this.left) / bins.length, top: 1.1 * Math.max(...bins, ...curve) };
    const ink = osr.textColour(this.canvas);
    this.bars(bins, scale);
    this.context.strokeStyle = ink;
    this.context.fillStyle = ink;
    this.curve(curve, scale);
    this.promised((osr.NEW * alpha) / step, scale);
    this.axis(step, bins.length, scale);
  }

  y(value, { top }) {
    return (this.height - this.bottom) * (1 - value / top);
  }

  bars(bins, scale) {
    this.context.fillStyle = osr.COLOURS.mnist;
    bins.forEach((value, i) => {
      const y = this.y(value, scale);
      this.context.fillRect(this.left + i * scale.x + 0.5, y, scale.x - 1, this.height - this.bottom - y);
    });
  }

  curve(curve, scale) {
    this.context.lineWidth = 2;
    this.context.setLineDash([]);
    this.context.beginPath();
    curve.forEach((value, i) => {
      this.context.lineTo(this.left + (i + 0.5) * scale.x, this.y(value, scale));
    });
    this.context.stroke();
  }

  /* A dashed line where a share α of the images lies. */
  promised(at, scale) {
    const x = this.left + (at + 0.5) * scale.x;
    this.context.setLineDash([6, 5]);
    this.context.beginPath();
    this.context.moveTo(x, 0);
    this.context.lineTo(x, this.height - this.bottom);
    this.context.stroke();
    this.context.textAlign = "left";
    this.context.font = "15px sans-serif";
    this.context.fillText("promised", x + 6, 16);
  }

  axis(step, bins, scale) {
    const every = Math.ceil(bins / 8);
    this.context.textAlign = "center";
    for (let i = 0; i < bins; i += every) {
      this.context.fillText(i * step, this.left + (i + 0.5) * scale.x, this.height - this.bottom + 18);
    }
    this.context.fillText(`refused, of ${osr.NEW.toLocaleString("en")} new digits`, this.width / 2, this.height - 4);
  }
};

osr.BREAKS = { nothing: "nothing", dirty: "letters among the calibration images", pens: "other pens come" };

osr.PromiseKept = class {
  constructor(root) {
    this.scores = osr.ranks();
    this.histogram = new osr.PriceHistogram(root);
    this.told = osr.el("p", { role: "status" });
    this.n = this.choice("n", "calibration images", { 100: "100", 500: "500", 2000: "2,000", 5000: "5,000" }, "500");
    const promises = { 0.01: "1 %", 0.02: "2 %", 0.05: "5 %", 0.1: "10 %" };
    this.alpha = this.choice("alpha", "promised: at most", promises, root.dataset.alpha ?? "0.01");
    this.breaks = this.choice("breaks", "what goes wrong", osr.BREAKS, "nothing");
    this.dirty = this.choice(
      "dirty",
      "letters among them",
      { 0.005: "0.5 %", 0.01: "1 %", 0.02: "2 %", 0.05: "5 %" },
      "0.02",
    );
    const button = (text, onclick) => osr.el("button", { type: "button", onclick }, text);
    root.replaceChildren(
      osr.el("div", { class: "osr-tools" }, ...[this.n, this.alpha, this.breaks, this.dirty].map(({ label }) => label)),
      this.histogram.canvas,
      osr.el(
        "div",
        { class: "osr-tools" },
        button("Calibrate once more", () => this.more(1)),
        button("A hundred times more", () => this.more(100)),
        button("Start anew", () => this.start(0)),
      ),
      this.told,
    );
    this.start(200);
    osr.redrawn(() => this.show());
  }

  /* A list to choose from, with its label. */
  choice(key, text, options, chosen) {
    const entries = Object.entries(options).map(([value, name]) => osr.el("option", { value }, name));
    const select = osr.el("select", { id: `osr-promise-${key}`, onchange: () => this.start(200) }, ...entries);
    select.value = chosen;
    return { select, label: osr.el("label", {}, `${text}: `, select) };
  }

  settings() {
    const [n, alpha, dirty] = [this.n, this.alpha, this.dirty].map(({ select }) => Number(select.value));
    const broken = this.breaks.select.value;
    return { n, alpha, dirty: broken === "dirty" ? dirty : 0, otherPens: broken === "pens" };
  }

  /* Forgets what came, and calibrates so many times. */
  start(times) {
    const { n, alpha } = this.settings();
    this.dirty.label.hidden = this.breaks.select.value !== "dirty";
    this.expected = osr.betaBinomial(osr.NEW, n, alpha);
    this.random = osr.random(1);
    this.came = [];
    this.more(times);
  }

  more(times) {
    const settings = this.settings();
    for (let i = 0; i < times; i++) this.came.push(osr.calibrate(this.scores, settings, this.random));
    this.show();
  }

  show() {
    const refused = this.came.map((one) => one.refused);
    this.histogram.show(refused, this.expected, this.settings().alpha);
    const text = this.words(refused);
    this.histogram.canvas.setAttribute(
      "aria-label",
      `How many new digits each line refuses, and what the promise allows to expect. ${text}`,
    );
    this.told.textContent = text;
  }

  words(refused) {
    const { n, alpha } = this.settings();
    const broken = this.breaks.select.value;
    const wrong = broken === "nothing" ? "" : `; ${osr.BREAKS[broken]}`;
    if (refused.length === 0) return "No line has been set yet.";
    const share = (count) => osr.percent(count / osr.NEW, 2);
    const [low, high] = [0.025, 0.975].map((q) => osr.quantile(refused, q));
    const letters = osr.percent(osr.mean(this.came.map((one) => one.strange)), 0);
    return (
      `${refused.length} calibrations on ${n.toLocaleString("en")} images${wrong}. On average ${share(osr.mean(refused))} of the new digits are refused, where at most ` +
      `${osr.percent(alpha, 0)} was promised; in 95 of 100 it is ${share(low)} to ${share(high)}. ` +
      `Of the letters ${letters} are refused.`
    );
  }
};

osr.promise = osr.begin("osr-promise", osr.PromiseKept);
