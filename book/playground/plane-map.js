/* The map of open-space.js: which class is named where, how strongly it is accepted, and where the line runs. */
"use strict";

/* Half the width of the maps, and the least distance of the far plane from all training points. */
osr.MAPS = { near: 5, far: 18, horizon: 90 };
osr.GAP = 3;

osr.PLANE_HINT = "Click or tap to drop an unknown point; drag known ones.";
osr.PLANE_LEGEND = [
  "The colour of a place tells the class that is named there. It is the stronger, the more calibration points have a " +
    "higher score, and almost gone beyond the line, where the rule refuses.",
  "Small marks are known points: the training points are filled. The calibration points, hollow on the near map, took " +
    "no part in the training; they set the line, and move with their class.",
  "An unknown point is an × where it is refused; else it looks like the class that it is taken for, with a thick edge. " +
    "The + is the cross that the arrow keys move.",
  `The bar at the lower left is ${osr.GAP} units long. The far plane is what lies farther than that from every training ` +
    `point; counted are the middles of the ${2 * osr.MAPS.far} × ${2 * osr.MAPS.far} unit squares of the far map.`,
];

/* −0.04 → "0", 9.6 → "9.6" */
osr.short = (value) => `${Number(value.toFixed(1)) || 0}`.replace("-", "−");

/* The middles of size × size cells of a square map that goes from −half to half: row by row from above. */
osr.cell = (i, size, half) => [
  ((i % size) + 0.5) * ((2 * half) / size) - half,
  half - (Math.floor(i / size) + 0.5) * ((2 * half) / size),
];

/* Pieces of the line on which a field of size × size values is zero, in cells: each [[x, y], [x, y]] (marching squares). */
osr.contour = (field, size) => {
  const pieces = [];
  for (let i = 0; i + 1 < size; i++) {
    for (let at = i * size; at + 1 < (i + 1) * size; at++) {
      const above = (field[at] > 0) + (field[at + 1] > 0) + (field[at + size] > 0) + (field[at + size + 1] > 0);
      if (above % 4 > 0) pieces.push(...osr.borderOfCell(field, size, i, at - i * size));
    }
  }
  return pieces;
};

/* Where the line passes between four neighbours: it enters where two beside each other have different signs. */
osr.borderOfCell = (field, size, i, j) => {
  const corners = [
    [j, i],
    [j + 1, i],
    [j + 1, i + 1],
    [j, i + 1],
  ];
  const values = corners.map(([x, y]) => field[y * size + x]);
  const crossings = [];
  for (let k = 0; k < 4; k++) {
    const [a, b] = [values[k], values[(k + 1) % 4]];
    if (a > 0 === b > 0) continue;
    const share = a / (a - b);
    const [from, to] = [corners[k], corners[(k + 1) % 4]];
    crossings.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
  }
  return crossings.length === 4 ? [crossings.slice(0, 2), crossings.slice(2)] : [crossings];
};

/* A score at the middles of size × size cells of a map, computed a part at a time. */
osr.PlaneField = class {
  constructor(rule, half, size) {
    Object.assign(this, { rule, half, size });
    this.scores = new Float64Array(size * size);
    this.guesses = new Uint8Array(size * size);
    this.done = 0;
  }

  /* Goes on for so many milliseconds; true once all places are done. */
  fill(budget) {
    const end = performance.now() + budget;
    while (this.done < this.scores.length && performance.now() < end) this.row();
    return this.done === this.scores.length;
  }

  row() {
    for (const end = this.done + this.size; this.done < end; this.done++) {
      this.scores[this.done] = this.rule.score(...osr.cell(this.done, this.size, this.half));
      this.guesses[this.done] = this.rule.guess;
    }
  }
};

/* The far plane: middles of the unit squares of the far map that lie farther than GAP from every training point. The
 * scores there, sorted, and the share of places with a largest softmax probability above 0.99. */
osr.farPlane = (rule, softmax, training) => {
  const size = 2 * osr.MAPS.far;
  const scores = [];
  let sure = 0;
  for (let i = 0; i < size * size; i++) {
    const [x, y] = osr.cell(i, size, osr.MAPS.far);
    if (training.some((point) => Math.hypot(point.x - x, point.y - y) <= osr.GAP)) continue;
    scores.push(rule.score(x, y));
    sure += osr.doubt(softmax.forward(x, y)) < 0.01;
  }
  return { scores, sure: sure / scores.length };
};

osr.PlaneMap = class {
  constructor(room) {
    this.side = Math.min(480, room);
    const dense = window.devicePixelRatio || 1;
    const size = { width: this.side * dense, height: this.side * dense };
    this.canvas = osr.el("canvas", {
      ...size,
      class: "osr-plane",
      style: `width: ${this.side}px`,
      tabindex: 0,
      role: "application",
      "aria-label":
        "Map of the plane: which class is named where, and what is refused. Arrow keys move the cross, a class or a " +
        "point; N chooses the next of them; Enter drops an unknown point at the cross; Backspace undoes a drop or a clearing.",
    });
    this.context = this.canvas.getContext("2d");
    this.context.scale(dense, dense);
    this.cells = osr.el("canvas");
    this.half = osr.MAPS.far;
    const { blue, orange, green } = osr.PALETTE;
    this.colours = [blue, orange, green];
  }

  /* Where a place lies on the canvas, and back from the canvas's own pixels. */
  at({ x, y }) {
    return [this.side * (0.5 + x / (2 * this.half)), this.side * (0.5 - y / (2 * this.half))];
  }

  place([x, y]) {
    const turn = (value) => Math.min(1, Math.max(0, value / this.canvas.width)) * 2 * this.half - this.half;
    return { x: turn(x), y: -turn(y) };
  }

  get isNear() {
    return this.half === osr.MAPS.near;
  }

  /* The known points that are to be seen here. */
  known({ training, calibration }) {
    return this.isNear ? [...training, ...calibration] : training;
  }

  /* How much of a way points can go together: none leaves the map, and those beyond its edge go no farther. */
  within(points, way) {
    const part = (key) => {
      const values = points.map((point) => point[key]);
      const [least, most] = [-this.half - Math.min(...values), this.half - Math.max(...values)];
      return Math.min(Math.max(way[key], Math.min(0, least)), Math.max(0, most));
    };
    return { x: part("x"), y: part("y") };
  }

  /* Moves a place that is not on this map to near its edge. */
  bringIn(place) {
    for (const key of ["x", "y"]) {
      if (Math.abs(place[key]) > this.half) place[key] = 0.95 * this.half * Math.sign(place[key]);
    }
  }

  show({ field, line, training, calibration, unknown, chosen, cross }) {
    this.ink = osr.textColour(this.canvas);
    this.context.clearRect(0, 0, this.side, this.side);
    if (field) this.ground(field, line);
    if (this.isNear) for (const point of calibration) this.mark(point, point.label, 3, null, this.ink);
    for (const point of training)
      this.mark(point, point.label, this.isNear ? 5 : 3, this.colours[point.label], this.ink);
    for (const point of unknown) this.unknown(point, field?.rule, line);
    if (chosen.length) this.ring(chosen);
    this.plus(cross);
    this.measure();
  }

  /* Colours of the classes: strong where the score is as small as that of many calibration points, pale where refused. */
  ground(field, line) {
    const { size, rule, scores, guesses } = field;
    Object.assign(this.cells, { width: size, height: size });
    const context = this.cells.getContext("2d");
    const image = context.createImageData(size, size);
    const colours = this.colours.map(osr.rgb);
    for (let i = 0; i < scores.length; i++) {
      image.data.set(colours[guesses[i]], 4 * i);
      image.data[4 * i + 3] = scores[i] > line ? 20 : 80 + 130 * rule.asUnknown(scores[i]);
    }
    context.putImageData(image, 0, 0);
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(this.cells, 0, 0, this.side, this.side);
    this.line(field, line);
  }

  line({ rule, scores, size }, line) {
    const { even } = osr.PLANE_SCORES[rule.key];
    const cell = this.side / size;
    this.context.beginPath();
    for (const [from, to] of osr.contour(
      scores.map((score) => even(score) - even(line)),
      size,
    )) {
      this.context.moveTo((from[0] + 0.5) * cell, (from[1] + 0.5) * cell);
      this.context.lineTo((to[0] + 0.5) * cell, (to[1] + 0.5) * cell);
    }
    this.stroke(this.ink, 2);
  }

  stroke(colour, width) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = width;
    this.context.stroke();
  }

  /* The mark of a class: circle, square or triangle. */
  mark(point, label, radius, fill, edge, width = 1) {
    const [x, y] = this.at(point);
    this.context.beginPath();
    if (label === 0) this.context.arc(x, y, radius, 0, 2 * Math.PI);
    else {
      const corners = label === 1 ? 4 : 3;
      for (let k = 0; k < corners; k++) {
        const turn = (2 * Math.PI * (k + (label === 1 ? 0.5 : 0))) / corners;
        this.context.lineTo(x + 1.25 * radius * Math.sin(turn), y - 1.25 * radius * Math.cos(turn));
      }
      this.context.closePath();
    }
    if (fill) {
      this.context.fillStyle = fill;
      this.context.fill();
    }
    this.stroke(edge, width);
  }

  /* An unknown point looks as the rule sees it: as a large mark of a class, or refused, as a cross. */
  unknown(point, rule, line) {
    if (!rule) return;
    if (rule.score(point.x, point.y) <= line) {
      this.mark(point, rule.guess, 8, this.colours[rule.guess], osr.PALETTE.vermilion, 3);
      return;
    }
    const [x, y] = this.at(point);
    this.context.beginPath();
    for (const way of [1, -1]) {
      this.context.moveTo(x - 7, y - 7 * way);
      this.context.lineTo(x + 7, y + 7 * way);
    }
    this.stroke(osr.PALETTE.vermilion, 4);
  }

  /* Around what the arrow keys or a finger move. */
  ring(points) {
    const middle = { x: osr.mean(points.map(({ x }) => x)), y: osr.mean(points.map(({ y }) => y)) };
    const reach = Math.max(...points.map(({ x, y }) => Math.hypot(x - middle.x, y - middle.y)));
    this.context.beginPath();
    this.context.arc(...this.at(middle), (reach * this.side) / (2 * this.half) + 10, 0, 2 * Math.PI);
    this.context.setLineDash([6, 5]);
    this.stroke(this.ink, 1.5);
    this.context.setLineDash([]);
  }

  plus(point) {
    const [x, y] = this.at(point);
    this.context.beginPath();
    this.context.moveTo(x - 8, y);
    this.context.lineTo(x + 8, y);
    this.context.moveTo(x, y - 8);
    this.context.lineTo(x, y + 8);
    this.stroke(this.ink, 1.5);
  }

  /* How long GAP is on this map. */
  measure() {
    const length = (osr.GAP * this.side) / (2 * this.half);
    this.context.beginPath();
    this.context.moveTo(10, this.side - 12);
    this.context.lineTo(10 + length, this.side - 12);
    this.stroke(this.ink, 3);
    this.context.fillStyle = this.ink;
    this.context.font = "14px sans-serif";
    this.context.fillText(osr.GAP, 10, this.side - 18);
  }
};
