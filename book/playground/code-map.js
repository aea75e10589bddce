/* The map of the code: 128 numbers on a plane, on which the ten digits lie around a ring. A point is what is drawn. */
"use strict";

osr.CodeMap = class {
  size = 300;
  reach = 1.5; // of the plane, from the middle to the edge

  constructor({ matrix, points }) {
    this.matrix = osr.rows(osr.floats(matrix), osr.CODE + 1);
    this.known = osr.rows(osr.floats(points), 200).map((flat) => osr.rows(flat, 2)); // a hundred of each digit
    this.names = this.known.map((some) => [0, 1].map((axis) => 1.38 * osr.mean(some.map((point) => point[axis]))));
    this.canvas = osr.el("canvas", { class: "osr-map", role: "img" });
    this.trail = []; // where the drawing lay after each stroke
  }

  /* Where a code, divided by its length, lies on the plane. */
  place(code) {
    return this.matrix.map((row) => osr.sum(code.map((value, i) => value * row[i])) + row[osr.CODE]);
  }

  /* placed: a code, null where there is none; decision, bank: null while they are waited for; strokes: drawn so far. */
  show(decision, placed, bank, strokes) {
    this.point = placed && this.place(placed);
    if (placed) {
      this.trail[strokes] = this.point;
      this.trail.length = strokes + 1;
    } else this.trail = [];
    const codes = decision ? decision.nearest.map(({ at }) => bank.subarray(at * osr.CODE, (at + 1) * osr.CODE)) : [];
    this.neighbours = codes.map((code) => this.place(code));
    this.decision = decision;
    this.paint();
    const where = placed ? `The drawing lies at ${this.point.map((value) => value.toFixed(1)).join(", ")}` : "Empty";
    this.canvas.setAttribute("aria-label", `Map of the code, the ten digits around a ring. ${where}.`);
  }

  /* Of the plane → on the canvas. */
  at([x, y]) {
    const scale = this.size / (2 * this.reach);
    const inside = (value) => Math.min(this.size - 6, Math.max(6, value));
    return [inside(this.size / 2 + scale * x), inside(this.size / 2 - scale * y)];
  }

  paint() {
    const { decision } = this;
    const ink = osr.textColour(this.canvas);
    const context = osr.sharp(this.canvas, this.size, this.size);
    this.context = context;
    context.font = "bold 16px sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    this.known.forEach((points, digit) => {
      const isNamed = digit === decision?.guess;
      context.globalAlpha = isNamed ? 1 : 0.3;
      context.fillStyle = isNamed ? osr.PALETTE.blue : ink;
      for (const [x, y] of points.map((point) => this.at(point))) context.fillRect(x - 1.25, y - 1.25, 2.5, 2.5); // fast
      context.globalAlpha = 1;
      context.fillStyle = ink;
      context.fillText(String(digit), ...this.at(this.names[digit]));
    });
    if (this.point) this.paintDrawing(decision, ink);
  }

  paintDrawing(decision, ink) {
    for (const neighbour of this.neighbours) {
      this.path([this.point, neighbour], ink, 1);
      this.dot(this.at(neighbour), 3, osr.PALETTE.blue);
    }
    const way = this.trail.filter(() => true); // without holes
    this.path(way, osr.PALETTE.orange, 2);
    for (const point of way) this.dot(this.at(point), 3, osr.PALETTE.orange);
    const colours = { undefined: osr.PALETTE.orange, unknown: osr.PALETTE.vermilion };
    this.dot(this.at(this.point), 7, colours[decision?.label] ?? osr.PALETTE.blue, ink);
  }

  path(points, colour, width) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = width;
    this.context.beginPath();
    for (const point of points) this.context.lineTo(...this.at(point));
    this.context.stroke();
  }

  dot([x, y], radius, colour, rim) {
    this.context.fillStyle = colour;
    this.context.beginPath();
    this.context.arc(x, y, radius, 0, 2 * Math.PI);
    this.context.fill();
    if (!rim) return;
    this.context.strokeStyle = rim;
    this.context.lineWidth = 2;
    this.context.stroke();
  }
};
