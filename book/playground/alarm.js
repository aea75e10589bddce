/* A stream of images, and an alarm that may be false once in twenty: chapter 11's bet on p-values, by hand.
 *
 * Scores are ranks: osr.RANKS, as in promise.js. What changes, changes after the first 1,000 images.
 */
"use strict";

osr.STREAM = { compared: 5000, length: 3000, before: 1000 };
osr.ALARM = 20; // wealth
osr.CHANGES = [
  ["nothing", "nothing changes"],
  ["pens", "the digits come from other pens"],
  ["3", "3 images in 100 are letters"],
  ["1", "1 image in 100 is a letter"],
];

/* Powers of ten on the axis. What lies beyond its ends is drawn there. */
osr.POWERS = [
  [-15, "≤10⁻¹⁵"],
  [-12, "10⁻¹²"],
  [-9, "10⁻⁹"],
  [-6, "10⁻⁶"],
  [-3, "10⁻³"],
  [0, "1"],
  [3, "10³"],
  [6, "10⁶"],
  [9, "10⁹"],
  [12, "≥10¹²"],
];

/* How many of the first count values, in order, are below a value, or no larger where that is asked for. */
osr.rank = (sorted, count, value, orEqual) => {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value || (orEqual && sorted[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
};

/* The wealth of nine gamblers after each score of a stream, as osrlib.promise.Martingale; random breaks ties. */
osr.wealth = (compared, stream, random) => {
  const seen = new Uint16Array(compared.length + stream.length);
  seen.set(compared.slice().sort());
  const boldness = Array.from({ length: 9 }, (_, i) => 0.1 * (i + 1));
  const logs = boldness.map(() => 0);
  return Float64Array.from(stream, (score, i) => {
    const count = compared.length + i;
    const [first, last] = [false, true].map((orEqual) => osr.rank(seen, count, score, orEqual));
    const p = (count - last + random() * (last - first + 1)) / (count + 1);
    seen.copyWithin(last + 1, last, count);
    seen[last] = score;
    boldness.forEach((b, k) => {
      logs[k] += Math.log(b) + (b - 1) * Math.log(p);
    });
    return osr.mean(logs.map(Math.exp));
  });
};

/* A stream in which something changes, and other digits to compare with. */
osr.stream = ({ known, pens, strange }, change, random) => {
  const { compared, length, before } = osr.STREAM;
  const digits = osr.draw(known, compared + length, random);
  const stream = digits.slice(compared);
  if (change === "pens") stream.set(osr.draw(pens, length - before, random), before);
  const intruders = Math.round((Number(change) / 100) * (length - before)) || 0;
  const places = osr.draw(
    Uint16Array.from({ length: length - before }, (_, i) => before + i),
    intruders,
    random,
  );
  osr.draw(strange, intruders, random).forEach((score, i) => {
    stream[places[i]] = score;
  });
  return { compared: digits.slice(0, compared), stream };
};

/* The wealth along a stream, on a logarithmic axis, a dashed line where the alarm is, a dotted one where a change is. */
osr.WealthChart = class {
  height = 300;
  left = 62;
  right = 20;
  bottom = 40;

  constructor(root) {
    this.root = root;
    this.canvas = osr.el("canvas", { class: "osr-chart", role: "img" });
  }

  x(image) {
    return this.left + ((this.width - this.left - this.right) * image) / osr.STREAM.length;
  }

  y(wealth) {
    const [low, high] = [osr.POWERS[0][0], osr.POWERS.at(-1)[0]];
    const power = Math.min(high, Math.max(low, Math.log10(wealth)));
    return 8 + ((this.height - this.bottom - 8) * (high - power)) / (high - low);
  }

  show(lines, colour, isChanged) {
    this.width = Math.min(560, this.root.clientWidth);
    this.context = osr.sharp(this.canvas, this.width, this.height);
    this.axes();
    this.marks(isChanged);
    lines.forEach((wealth, i) => {
      const isLast = i === lines.length - 1;
      this.context.globalAlpha = isLast ? 1 : 0.25;
      this.line([[0, 1], ...Array.from(wealth, (value, at) => [at + 1, value])], colour, isLast ? 2.5 : 1, []);
    });
    this.context.globalAlpha = 1;
  }

  /* Powers of ten upwards, images to the right. */
  axes() {
    const { context } = this;
    context.fillStyle = osr.textColour(this.canvas);
    context.font = "15px sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const [power, text] of osr.POWERS) context.fillText(text, this.left - 6, this.y(10 ** power));
    context.textAlign = "center";
    for (const image of [0, 1000, 2000, 3000]) {
      context.fillText(image.toLocaleString("en"), this.x(image), this.height - 28);
    }
    context.fillText("image; upwards: the wealth", this.width / 2, this.height - 8);
  }

  /* Where the alarm is, and where the change, if there is one; each with its name. */
  marks(isChanged) {
    const { ALARM, STREAM } = osr;
    const ink = osr.textColour(this.canvas);
    this.context.textAlign = "left";
    this.line([[0, ALARM], [STREAM.length, ALARM]], ink, 2, [6, 5]); // biome-ignore format: two ends
    this.context.fillText(`alarm: ${ALARM}`, this.left + 6, this.y(ALARM) - 12);
    if (!isChanged) return;
    this.line([[STREAM.before, 0], [STREAM.before, Infinity]], ink, 1, [2, 4]); // biome-ignore format: two ends
    this.context.fillText("change", this.x(STREAM.before) + 6, this.y(Infinity) + 8);
  }

  line(points, colour, width, dashes) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = width;
    this.context.setLineDash(dashes);
    this.context.beginPath();
    for (const [image, wealth] of points) this.context.lineTo(this.x(image), this.y(wealth));
    this.context.stroke();
  }
};

osr.Alarm = class {
  constructor(root) {
    this.scores = osr.ranks();
    this.chart = new osr.WealthChart(root);
    this.told = osr.el("p", { role: "status" });
    const options = osr.CHANGES.map(([value, name]) => osr.el("option", { value }, name));
    this.change = osr.el("select", { id: "osr-alarm-change", onchange: () => this.start() }, ...options);
    const button = (text, onclick) => osr.el("button", { type: "button", onclick }, text);
    root.replaceChildren(
      osr.el("div", { class: "osr-tools" }, osr.el("label", {}, "after 1,000 images: ", this.change)),
      this.chart.canvas,
      osr.el(
        "div",
        { class: "osr-tools" },
        button("Another stream", () => this.more(1)),
        button("Ten more", () => this.more(10)),
        button("Start anew", () => this.start()),
      ),
      this.told,
    );
    this.start();
    osr.redrawn(() => this.show());
  }

  start() {
    this.random = osr.random(1);
    this.lines = [];
    this.more(1);
  }

  more(times) {
    for (let i = 0; i < times; i++) {
      const { compared, stream } = osr.stream(this.scores, this.change.value, this.random);
      this.lines.push(osr.wealth(compared, stream, this.random));
    }
    this.show();
  }

  show() {
    const colours = { nothing: osr.COLOURS.mnist, pens: osr.COLOURS.pens };
    const isChanged = this.change.value !== "nothing";
    this.chart.show(this.lines, colours[this.change.value] ?? osr.COLOURS.letters, isChanged);
    const change = `After ${osr.STREAM.before.toLocaleString("en")} images ${new Map(osr.CHANGES).get(this.change.value)}.`;
    this.told.textContent = `${change} ${osr.wordsOfAlarms(this.lines, isChanged)}`;
    this.chart.canvas.setAttribute("aria-label", `Wealth along each stream. ${this.told.textContent}`);
  }
};

/* What the alarm did in the last stream, and in all. One before anything changed is false. */
osr.wordsOfAlarms = (lines, isChanged) => {
  const when = lines.map((wealth) => wealth.findIndex((value) => value >= osr.ALARM) + 1); // 0: never
  const isFalse = (at) => at > 0 && (!isChanged || at <= osr.STREAM.before);
  const isGood = (at) => at > 0 && !isFalse(at);
  const [good, bad] = [when.filter(isGood).length, when.filter(isFalse).length];
  const last = when.at(-1);
  const place = isGood(last) ? `${last - osr.STREAM.before} after the change` : `${last}: a false alarm`;
  const heard = last ? `The alarm sounds at image ${place}.` : "No alarm.";
  const told = isChanged ? `${good} after the change, ${bad} false before it` : `${bad} false`;
  return `${heard} Alarms so far, in ${lines.length} stream${lines.length === 1 ? "" : "s"}: ${told}.`;
};

osr.alarm = osr.begin("osr-alarm", osr.Alarm);
