"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "promise.js");

const known = Uint16Array.from({ length: 4000 }, (_, i) => 2 * i);
const pens = known.map((rank) => rank + 1000);
const strange = Uint16Array.from({ length: 500 }, (_, i) => 8000 + i);
const kept = { n: 500, alpha: 0.05, dirty: 0, otherPens: false };

function repeated(settings, times = 400) {
  const random = osr.random(3);
  return Array.from({ length: times }, () => osr.calibrate({ known, pens, strange }, settings, random));
}

test("the line is the conformal one", () => {
  assert.deepEqual(
    [99, 500, 5000].map((n) => osr.rankOfLine(n, 0.01)),
    [99, 496, 4951],
  );
  assert.equal(osr.rankOfLine(19, 0.05), 19);
});

test("random numbers are the same for the same seed, and spread evenly", () => {
  const [one, again, other] = [osr.random(1), osr.random(1), osr.random(2)];
  const numbers = Array.from({ length: 4000 }, one);
  assert.deepEqual(numbers.slice(0, 9), Array.from({ length: 9 }, again));
  assert.notEqual(numbers[0], other());
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  assert.ok(Math.abs(osr.mean(numbers) - 0.5) < 0.02);
});

test("what is drawn is there once, and the drawn-from stays as it was", () => {
  const before = known.slice();
  const drawn = osr.draw(known, 1500, osr.random(1));
  assert.equal(new Set(drawn).size, 1500);
  assert.deepEqual(known, before);
});

test("the beta-binomial distribution sums to one and has the promised mean", () => {
  for (const [n, alpha] of [
    [100, 0.01],
    [500, 0.05],
    [5000, 0.1],
  ]) {
    const probabilities = osr.betaBinomial(1000, n, alpha);
    assert.ok(Math.abs(osr.sum(probabilities) - 1) < 1e-9);
    const mean = osr.sum(probabilities.map((p, x) => p * x));
    assert.ok(Math.abs(mean - (1000 * (n + 1 - osr.rankOfLine(n, alpha))) / (n + 1)) < 1e-6);
  }
});

test("the price is what the distribution says, and every stranger is refused", () => {
  const came = repeated(kept);
  const probabilities = osr.betaBinomial(osr.NEW, kept.n, kept.alpha);
  const mean = osr.sum(probabilities.map((p, x) => p * x));
  const spread = Math.sqrt(osr.sum(probabilities.map((p, x) => p * (x - mean) ** 2)));
  const refused = came.map((one) => one.refused);
  const error = spread / Math.sqrt(came.length);
  assert.ok(Math.abs(osr.mean(refused) - mean) < 4 * error);
  const seen = Math.sqrt(osr.mean(refused.map((count) => (count - osr.mean(refused)) ** 2)));
  assert.ok(Math.abs(seen / spread - 1) < 0.15);
  assert.ok(came.every((one) => one.strange === 1));
});

test("strangers among the calibration images lower the price, other pens raise it", () => {
  const price = (settings) => osr.mean(repeated({ ...kept, ...settings }, 100).map((one) => one.refused)) / osr.NEW;
  const bound = (0.05 - 0.03) / (1 - 0.03);
  assert.ok(Math.abs(price({ dirty: 0.03 }) - bound) < 0.004);
  assert.ok(price({ dirty: 0.06 }) < 0.001);
  assert.ok(price({ otherPens: true }) > 0.1);
});

test("words say on what, of what and how many, and no interval of a handful", () => {
  const came = (refused) => refused.map((count) => ({ refused: count, strange: 0.8 }));
  const settings = { n: 500, alpha: 0.01, dirty: 0.02, otherPens: false };
  const once = osr.wordsOfPromise(came([18]), settings);
  assert.match(
    once,
    /^1 calibration on 500 images, 10 of them letters\. The line refused 1\.80\s% of 1,000 new digits/,
  );
  assert.doesNotMatch(osr.wordsOfPromise(came(Array(39).fill(10)), settings), /95 of 100/);
  const many = osr.wordsOfPromise(came(Array(40).fill(10)), { ...settings, dirty: 0, otherPens: true });
  assert.match(
    many,
    /^40 calibrations on 500 images\. On average, a line refused 1\.00\s% of .* digits, drawn with other pens/,
  );
  assert.match(many, /95 of 100 lines refused 1\.00\s% to 1\.00\s% of theirs/);
});
