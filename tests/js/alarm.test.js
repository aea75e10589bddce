"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "promise.js", "alarm.js");
const ranks = (length, start = 0) => Uint16Array.from({ length }, (_, i) => start + i);

test("a fair game by hand: the first score is the largest, the second as large", () => {
  const bets = (p) => Array.from({ length: 9 }, (_, i) => 0.1 * (i + 1) * p ** (0.1 * (i + 1) - 1));
  const wealth = osr.wealth(ranks(3), Uint16Array.of(9, 9), () => 0.5);
  const [first, second] = [0.5 / 4, (0.5 * 2) / 5]; // nothing seen is larger; then one is equal
  const mean = (values) => osr.sum(values) / values.length;
  assert.ok(Math.abs(wealth[0] - mean(bets(first))) < 1e-12);
  assert.ok(Math.abs(wealth[1] - mean(bets(first).map((value, i) => value * bets(second)[i]))) < 1e-12);
});

test("what changes, changes after the first thousand", () => {
  const scores = { known: ranks(9000), pens: ranks(5000, 10000), strange: ranks(500, 20000) };
  const from = (values, low, high) => Array.from(values).filter((value) => value >= low && value < high).length;
  for (const [change, pens, letters] of [
    ["nothing", 0, 0],
    ["pens", 2000, 0],
    ["3", 0, 60],
    ["1", 0, 20],
  ]) {
    const { compared, stream } = osr.stream(scores, change, osr.random(4));
    assert.deepEqual([compared.length, stream.length], [5000, 3000]);
    assert.equal(new Set([...compared, ...stream]).size, 8000); // no image twice
    assert.equal(from(stream.subarray(0, 1000), 0, 9000), 1000);
    assert.deepEqual([from(stream, 10000, 20000), from(stream, 20000, 30000)], [pens, letters]);
  }
});

test("an alarm is told with its place", () => {
  const quiet = new Float64Array(3000).fill(1);
  const loud = quiet.slice();
  loud[1499] = 25;
  const early = quiet.slice();
  early[999] = 25; // the last image before the change
  assert.match(
    osr.wordsOfAlarms([quiet, loud], true),
    /image 500 after the change.*in 2 streams: 1 after the change, 0 false/,
  );
  assert.match(osr.wordsOfAlarms([loud, early], true), /image 1000: a false alarm.*1 after the change, 1 false/);
  assert.match(osr.wordsOfAlarms([loud, quiet], false), /^No alarm.*in 2 streams: 1 false/);
});

test("the axis goes as far as the images, and its ends say that more lies there", () => {
  osr.el = () => null; // no canvas
  const chart = Object.assign(new osr.WealthChart(), { width: 560 });
  assert.ok(chart.x(osr.STREAM.length) + 19 <= chart.width); // half of "3,000"
  const [low, high] = [osr.POWERS[0], osr.POWERS.at(-1)];
  assert.deepEqual([low[1][0], high[1][0]], ["≤", "≥"]);
  assert.equal(chart.y(0), chart.y(10 ** low[0]));
  assert.equal(chart.y(Infinity), chart.y(10 ** high[0]));
});
