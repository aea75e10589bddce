"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "plane-net.js", "plane-scores.js", "plane-map.js", "open-space.js");
const near = (value, wanted, error = 1e-9) => assert.ok(Math.abs(value - wanted) < error, `${value} is not ${wanted}`);

function trained(steps = 150) {
  const lesson = new osr.PlaneLesson();
  for (let i = 0; i < steps; i++) lesson.step();
  return lesson;
}

const LOSSES = {
  softmax: (logits, label) => Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - logits[label],
  sigmoids: (logits, label) =>
    osr.sum(Array.from(logits, (logit, k) => Math.log(1 + Math.exp(k === label ? -logit : logit)))),
};

for (const name of Object.keys(LOSSES)) {
  test(`the gradient of the ${name} loss is the slope of its finite differences`, () => {
    const { training, nets } = trained(5);
    const net = nets[name];
    const loss = () => osr.mean(training.map(({ x, y, label }) => LOSSES[name](net.forward(x, y), label)));
    const gradient = net.slope(training).slice();
    assert.ok(gradient.filter((slope) => Math.abs(slope) > 1e-3).length > 100);
    gradient.forEach((slope, i) => {
      const value = net.values[i];
      const [above, below] = [1e-6, -1e-6].map((step) => {
        net.values[i] = value + step;
        return loss();
      });
      net.values[i] = value;
      near(slope, (above - below) / 2e-6, 1e-6);
    });
  });
}

test("training lowers both losses and names nearly all points rightly", () => {
  const { training, calibration, nets } = trained(300);
  for (const [name, net] of Object.entries(nets)) {
    assert.ok(osr.mean(training.map(({ x, y, label }) => LOSSES[name](net.forward(x, y), label))) < 0.05);
    const right = calibration.filter(({ x, y, label }) => osr.largest(net.forward(x, y)) === label);
    assert.ok(right.length / calibration.length > 0.95);
  }
});

test("far out, logits grow linearly along a ray and the softmax tends to one", () => {
  const { softmax } = trained().nets;
  for (const turn of [0.3, 1.7, 3.1, 4.4, 5.9]) {
    const logits = (far) => Array.from(softmax.forward(far * Math.cos(turn), far * Math.sin(turn)));
    const [one, two, three] = [1000, 2000, 3000].map(logits);
    one.forEach((logit, k) => {
      near(three[k] - two[k], two[k] - logit, 1e-6 * Math.abs(three[k]));
    });
    assert.ok(osr.doubt(logits(100)) < osr.doubt(logits(10)));
    assert.ok(osr.doubt(logits(100)) < 1e-6);
  }
});

test("the line is the conformal one, and what lies on it is accepted", () => {
  const { nets, training, calibration } = trained();
  for (const key of Object.keys(osr.PLANE_SCORES)) {
    const rule = new osr.PlaneRule(key, nets, training, calibration);
    const n = calibration.length;
    for (const alpha of [0.01, 0.05, 0.3]) {
      assert.equal(rule.line(alpha), rule.known[Math.ceil((n + 1) * (1 - alpha)) - 1]);
      assert.ok(osr.countAbove(rule.known, rule.line(alpha)) <= alpha * n);
      near(rule.asUnknown(rule.line(alpha)), (n - Math.ceil((n + 1) * (1 - alpha)) + 1) / n);
    }
  }
});

test("doubt is one minus the largest probability, to the last digit", () => {
  near(osr.doubt([1, 2, 3]), 1 - Math.exp(3) / (Math.exp(1) + Math.exp(2) + Math.exp(3)));
  near(osr.doubt([0, 100, 1]) / Math.exp(-99), 1 + Math.exp(-1), 1e-9);
  near(osr.energy([800, 800]), -800 - Math.log(2));
});

test("the border runs where the field is zero", () => {
  const size = 21;
  const apart = ([x, y]) => Math.hypot(x - 10, y - 10) - 6.3;
  const field = Array.from({ length: size * size }, (_, i) => apart([i % size, Math.floor(i / size)]));
  const pieces = osr.contour(field, size);
  assert.ok(pieces.every((ends) => ends.length === 2 && ends.every((end) => Math.abs(apart(end)) < 0.05)));
  const length = osr.sum(pieces.map(([from, to]) => Math.hypot(from[0] - to[0], from[1] - to[1])));
  near(length, 2 * Math.PI * 6.3, 0.4);
  assert.equal(osr.contour(new Float64Array(9).fill(1), 3).length, 0);
});

test("the far plane keeps away from known points, and places lie as on a map", () => {
  const { nets, training, calibration } = trained();
  const rule = new osr.PlaneRule("softmax", nets, training, calibration);
  const places = Array.from({ length: 4 * osr.MAPS.far ** 2 }, (_, i) => osr.cell(i, 2 * osr.MAPS.far, osr.MAPS.far));
  assert.deepEqual([...places[0], ...places.at(-1)], [-17.5, 17.5, 17.5, -17.5]);
  const away = ([x, y]) => Math.min(...training.map((point) => Math.hypot(point.x - x, point.y - y)));
  const far = places.filter((place) => away(place) > osr.GAP);
  const { scores, sure } = osr.farPlane(rule, nets.softmax, training);
  assert.equal(scores.length, far.length);
  near(sure, far.filter(([x, y]) => osr.doubt(nets.softmax.forward(x, y)) < 0.01).length / far.length);
  assert.ok(sure > 0.9);
});

test("points go together, to the map's edge at most, and those beyond it go no farther", () => {
  const within = (half, points, x, y) => {
    const way = osr.PlaneMap.prototype.within.call({ half }, points, { x, y });
    return [way.x, way.y];
  };
  const points = [
    { x: -1, y: 0 },
    { x: 3, y: 1 },
  ];
  assert.deepEqual(within(5, points, 1, -1), [1, -1]);
  assert.deepEqual(within(5, points, 9, -9), [2, -5]);
  const beyond = points.map(({ x, y }) => ({ x: x + 10, y: y + 10 }));
  assert.deepEqual(within(5, beyond, 1, 1), [0, 0]);
  assert.deepEqual(within(5, beyond, -1, -1), [-1, -1]);
});
