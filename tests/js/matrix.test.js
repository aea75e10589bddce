"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "matrix.js");
const ROWS = [
  [62, 0, 97],
  [0, 5, 0],
  [81, 74, 99],
  [3, 3, 3],
];
const close = (value, wanted) => assert.ok(Math.abs(value - wanted) < 1e-12, `${value} is not ${wanted}`);

test("the weakest world, or several where they tie", () => {
  const places = ROWS.map((row) => Array.from(osr.weakest(row)));
  assert.deepEqual(places, [[1], [0, 2], [1], [0, 1, 2]]);
});

test("any of those that tie is right, and the count follows the guesses", () => {
  const guesses = new osr.Guesses(ROWS);
  assert.equal(guesses.count.made, 0);
  for (const [row, column] of [
    [0, 0],
    [1, 2],
    [2, 1],
  ]) {
    guesses.guess(row, column);
  }
  assert.deepEqual({ ...guesses.count, byChance: undefined }, { made: 3, right: 2, byChance: undefined });
  close(guesses.count.byChance, 1 / 3 + 2 / 3 + 1 / 3);
  assert.equal(guesses.isOver, false);
});

test("rows uncovered without a guess don't count, nor does a second guess", () => {
  const guesses = new osr.Guesses(ROWS);
  guesses.guess(0, 0);
  guesses.guess(0, 1);
  guesses.openAll();
  guesses.guess(2, 1);
  assert.equal(guesses.isOver, true);
  assert.deepEqual([guesses.count.made, guesses.count.right], [1, 0]);
  close(guesses.count.byChance, 1 / 3);
});

test("chance: one in so many columns a row, more where worlds tie", () => {
  close(osr.byChance(ROWS), 1 / 3 + 2 / 3 + 1 / 3 + 1);
  close(osr.byChance([[5, 1, 2, 3, 4, 5, 6, 7, 8]]), 1 / 9);
});

test("ink can be read on every colour", () => {
  assert.deepEqual(["#00224e", "#fee838", "#000000", "#ffffff"].map(osr.inkOn), [
    "#ffffff",
    "#000000",
    "#ffffff",
    "#000000",
  ]);
});
