/* Points on a plane, and a small network that learns to name them: what open-space.js trains while the reader watches.
 *
 * A point is { x, y, label }.
 */
"use strict";

osr.PLANE = {
  names: ["circle", "square", "triangle"], // of the classes, drawn so
  centres: [
    [0, 2.1],
    [-1.9, -1.2],
    [1.9, -1.2],
  ],
  spread: 0.7, // standard deviation in each direction
  training: 30, // points a class that the network learns
  calibration: 66, // points a class that set the line
  hidden: 16, // units in each of two hidden layers
  rate: 0.01, // Adam's learning rate
};

/* A number from the standard normal distribution (Box & Muller). */
osr.normal = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/* So many points of each class. */
osr.planePoints = (each, random) =>
  osr.PLANE.centres.flatMap(([x, y], label) =>
    Array.from({ length: each }, () => ({
      x: x + osr.PLANE.spread * osr.normal(random),
      y: y + osr.PLANE.spread * osr.normal(random),
      label,
    })),
  );

/* Where the largest of some values stands. */
osr.largest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/* How the losses change with each logit, cross-entropy behind a softmax, and behind a sigmoid for each class. */
osr.SLOPES = {
  softmax: (logits, label, slope) => {
    const top = Math.max(...logits);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
    for (let k = 0; k < logits.length; k++) slope[k] = Math.exp(logits[k] - top) / total - (k === label);
  },
  sigmoids: (logits, label, slope) => {
    for (let k = 0; k < logits.length; k++) slope[k] = 1 / (1 + Math.exp(-logits[k])) - (k === label);
  },
};

/* Two numbers in, two hidden layers with ReLU, a logit for each class; trained with Adam on all points at once. */
osr.PlaneNet = class {
  constructor(slopes, random) {
    const { hidden, names } = osr.PLANE;
    const sizes = [2, hidden, hidden, names.length];
    this.slopes = slopes;
    this.units = sizes.map((size) => new Float64Array(size)); // what each layer puts out, for the last point asked
    this.errors = sizes.map((size) => new Float64Array(size)); // how the loss changes with that
    const numbers = osr.sum(sizes.slice(1).map((size, l) => size * (sizes[l] + 1)));
    for (const part of ["values", "gradient", "mean", "square"]) this[part] = new Float64Array(numbers);
    this.steps = 0;
    let at = 0;
    this.layers = sizes.slice(1).map((outputs, l) => {
      const layer = { inputs: sizes[l], outputs, weights: at, biases: at + sizes[l] * outputs };
      for (; at < layer.biases; at++) this.values[at] = osr.normal(random) * Math.sqrt(2 / layer.inputs);
      at += outputs;
      return layer;
    });
  }

  /* The last hidden layer's numbers and the logits, of the last point asked. */
  get code() {
    return this.units.at(-2);
  }

  get logits() {
    return this.units.at(-1);
  }

  forward(x, y) {
    this.units[0][0] = x;
    this.units[0][1] = y;
    for (let l = 0; l < this.layers.length; l++) this.up(l);
    return this.logits;
  }

  /* Layer l: a weighted sum of the units below, and a ReLU but for the last layer. */
  up(l) {
    const { inputs, outputs, weights, biases } = this.layers[l];
    const { values } = this;
    const [below, above] = [this.units[l], this.units[l + 1]];
    const isLast = l === this.layers.length - 1;
    for (let j = 0; j < outputs; j++) {
      let sum = values[biases + j];
      const row = weights + j * inputs;
      for (let i = 0; i < inputs; i++) sum += values[row + i] * below[i];
      above[j] = isLast || sum > 0 ? sum : 0;
    }
  }

  /* The chain rule through layer l: adds to the gradient, and passes the errors down. */
  down(l) {
    const { inputs, outputs, weights, biases } = this.layers[l];
    const { values, gradient } = this;
    const [below, lower, upper] = [this.units[l], this.errors[l], this.errors[l + 1]];
    lower.fill(0);
    for (let j = 0; j < outputs; j++) {
      const row = weights + j * inputs;
      gradient[biases + j] += upper[j];
      for (let i = 0; i < inputs; i++) {
        gradient[row + i] += upper[j] * below[i];
        if (below[i] > 0) lower[i] += upper[j] * values[row + i]; // ReLU: nothing passes a unit that is off
      }
    }
  }

  /* The gradient of the mean loss over the points. */
  slope(points) {
    this.gradient.fill(0);
    for (const { x, y, label } of points) {
      this.slopes(this.forward(x, y), label, this.errors.at(-1));
      for (let l = this.layers.length - 1; l >= 0; l--) this.down(l);
    }
    for (let i = 0; i < this.gradient.length; i++) this.gradient[i] /= points.length;
    return this.gradient;
  }

  /* One step of Adam (its usual 0.9, 0.999 and 1e-8). */
  step(points) {
    this.slope(points);
    this.steps++;
    const rate = (osr.PLANE.rate * Math.sqrt(1 - 0.999 ** this.steps)) / (1 - 0.9 ** this.steps);
    for (let i = 0; i < this.values.length; i++) {
      const slope = this.gradient[i];
      this.mean[i] += 0.1 * (slope - this.mean[i]);
      this.square[i] += 0.001 * (slope * slope - this.square[i]);
      this.values[i] -= (rate * this.mean[i]) / (Math.sqrt(this.square[i]) + 1e-8);
    }
  }
};

/* The known points, and two networks that learn from the same first weights, a step at a time. */
osr.PlaneLesson = class {
  constructor() {
    const random = osr.random(1);
    this.training = osr.planePoints(osr.PLANE.training, random);
    this.calibration = osr.planePoints(osr.PLANE.calibration, random);
    this.seed = 0;
    this.anew();
  }

  anew() {
    this.seed++;
    const net = (name) => new osr.PlaneNet(osr.SLOPES[name], osr.random(this.seed));
    this.nets = { softmax: net("softmax"), sigmoids: net("sigmoids") };
  }

  step() {
    for (const net of Object.values(this.nets)) net.step(this.training);
  }

  get steps() {
    return this.nets.softmax.steps;
  }

  /* What moves together with a known point: itself, or all points of its class. */
  group(point, isClass) {
    if (!isClass) return [point];
    return [...this.training, ...this.calibration].filter(({ label }) => label === point.label);
  }

  /* Of some points the nearest to a place. */
  nearest({ x, y }, points) {
    const away = (point) => Math.hypot(point.x - x, point.y - y);
    return points.reduce((best, point) => (away(point) < away(best) ? point : best));
  }
};
