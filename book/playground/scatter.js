/* The picture of the threshold explorer: diff over norm of many images, and two lines to drag.
 *
 * Dots with a ring are images that the page can show: { name, known, guess, label, norm, diff }.
 */
"use strict";

/* The axes are logarithmic, as in the figure above: from where to where they go, and what stands at them. */
osr.LOGARITHMIC = {
  norm: { low: 8, high: 70, ticks: [10, 15, 20, 30, 50] },
  diff: { low: 4, high: 784, ticks: [5, 10, 20, 50, 100, 200, 500] },
};

/* How far along an axis a value lies, from 0 to 1, and back; what lies beyond the axis is at its end. */
osr.along = (key, value) => {
  const { low, high } = osr.LOGARITHMIC[key];
  return Math.log(Math.min(high, Math.max(low, value)) / low) / Math.log(high / low);
};
osr.valueAt = (key, share) => {
  const { low, high } = osr.LOGARITHMIC[key];
  return low * (high / low) ** Math.min(1, Math.max(0, share));
};

/* Whether an image lies beyond an axis. */
osr.isBeyond = (norm, diff) => {
  const isOutside = (key, value) => value < osr.LOGARITHMIC[key].low || value > osr.LOGARITHMIC[key].high;
  return isOutside("norm", norm) || isOutside("diff", diff);
};

/* The scatter. told(key, value) is called when a line is dragged, picked(dot) when a dot with a ring is touched. */
osr.Scatter = class {
  left = 36; // room for the numbers of the axes
  bottom = 34;
  edge = 8;
  shown = 1200; // points of each world
  reach = 24; // how near to a dot a finger must come
  dots = [];
  chosen = null;

  constructor(root, worlds, lines, { told, picked }) {
    Object.assign(this, { root, worlds, lines, told, picked });
    this.points = osr.el("canvas"); // thousands are too many for every move of a line: drawn once for each look
    this.board = osr.el("canvas", {
      class: "osr-scatter",
      role: "img",
      "aria-label":
        "Scatter of diff over norm for digits and unknown images, with a line for each. " +
        "The sliders below move the lines; the button below shows one image after the other.",
    });
    // where a finger takes a line, the page does not scroll under it
    const still = (event) => this.take(osr.where(this.board, event.touches[0])) && event.preventDefault();
    this.board.addEventListener("touchstart", still, { passive: false });
    this.board.addEventListener("pointerdown", (event) => {
      this.start = osr.where(this.board, event);
      this.isMoved = false;
    });
    this.board.addEventListener("pointerup", (event) => this.pick(osr.where(this.board, event)));
    osr.follow(this.board, this.take.bind(this), this.drag.bind(this));
  }

  /* As wide as the page allows. */
  resize() {
    this.width = Math.min(560, this.root.clientWidth) || 560; // no width at all: it is not seen now
    this.height = Math.round(0.68 * this.width);
    this.across = this.width - this.left - this.edge;
    this.down = this.height - this.bottom - this.edge;
  }

  x(norm) {
    return this.left + osr.along("norm", norm) * this.across;
  }

  y(diff) {
    return this.edge + (1 - osr.along("diff", diff)) * this.down;
  }

  value(key, [x, y]) {
    return osr.valueAt(key, key === "norm" ? (x - this.left) / this.across : 1 - (y - this.edge) / this.down);
  }

  /* Takes the nearer line, if it is near. */
  take([x, y]) {
    const away = { norm: this.x(this.lines.norm) - x, diff: this.y(this.lines.diff) - y };
    this.dragged = Math.abs(away.norm) < Math.abs(away.diff) ? "norm" : "diff";
    this.away = away[this.dragged];
    return Math.abs(this.away) <= 22; // a finger needs 44 pixels
  }

  /* Moves the taken line; a finger that trembles moves none. */
  drag([x, y]) {
    this.isMoved ||= Math.hypot(x - this.start[0], y - this.start[1]) > 4;
    if (this.isMoved) this.told(this.dragged, this.value(this.dragged, [x + this.away, y + this.away]));
  }

  /* Tells of the nearest dot with a ring where the board was touched, and nothing dragged. */
  pick([x, y]) {
    if (!this.start || this.isMoved || Math.hypot(x - this.start[0], y - this.start[1]) > 4) return;
    const far = (dot) => Math.hypot(this.x(dot.norm) - x, this.y(dot.diff) - y);
    const [nearest] = this.dots.slice().sort((one, other) => far(one) - far(other));
    if (nearest && far(nearest) <= this.reach) this.picked(nearest);
  }

  /* Known images first, so that unknown ones among them are seen. */
  drawPoints() {
    this.resize();
    const context = osr.sharp(this.points, this.width, this.height);
    const side = (isKnown) => this.worlds.filter(({ known }) => known === isKnown);
    this.drawWorlds(context, side(true), 0.55);
    this.drawWorlds(context, side(false), 0.7);
    this.drawAxes(context);
    for (const dot of this.dots) this.drawRing(context, dot, this.width > 400 ? 3 : 2.4, osr.COLOURS[dot.name]);
  }

  /* In turns, so that no world hides another. */
  drawWorlds(context, worlds, opacity) {
    context.globalAlpha = opacity;
    for (let turn = 0; turn < this.shown; turn++) {
      for (const world of worlds) this.drawPoint(context, world, turn / this.shown);
    }
    context.globalAlpha = 1;
  }

  /* One point of a world; share: how far on among its images. */
  drawPoint(context, { name, norm, diff }, share) {
    const i = Math.floor(share * norm.length);
    context.fillStyle = osr.COLOURS[name];
    context.fillRect(this.x(norm[i]) - 1.25, this.y(diff[i]) - 1.25, 2.5, 2.5);
  }

  drawRing(context, { norm, diff }, radius, colour) {
    context.fillStyle = colour;
    context.strokeStyle = osr.textColour(this.board);
    context.beginPath();
    context.arc(this.x(norm), this.y(diff), radius, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }

  drawAxes(context) {
    const { norm, diff } = osr.LOGARITHMIC;
    const floor = this.height - this.bottom;
    context.fillStyle = osr.textColour(this.board);
    context.font = "13px sans-serif";
    context.textAlign = "left";
    context.fillText("diff", this.left + 6, 18);
    context.textAlign = "center";
    context.fillText("norm", this.left + this.across / 2, this.height - 3);
    for (const value of norm.ticks) context.fillText(value, this.x(value), floor + 16);
    context.textAlign = "right";
    for (const value of diff.ticks) context.fillText(value, this.left - 6, this.y(value) + 5);
  }

  drawLines() {
    const context = osr.sharp(this.board, this.width, this.height);
    context.drawImage(this.points, 0, 0, this.width, this.height);
    context.strokeStyle = osr.textColour(this.board);
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(this.x(this.lines.norm), 0);
    context.lineTo(this.x(this.lines.norm), this.height - this.bottom);
    context.moveTo(this.left, this.y(this.lines.diff));
    context.lineTo(this.width, this.y(this.lines.diff));
    context.stroke();
    if (this.chosen) this.drawRing(context, this.chosen, 8, "transparent");
  }
};
