"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "model.js", "picture.js", "board.js", "playground.js");
const lines = { norm: 5, diff: 60 };
const probabilities = [0.1, 0.9];

test("a refusal names what lies above its line, and what the classifier alone would have said", () => {
  const alone = "The classifier alone would have said 1, with 90\u00a0%.";
  const far = { norm: 5.5, diff: 60, guess: 1, label: "unknown", probabilities };
  const norm = "the copy is farther from the image than digits are (norm 5.50 above 5.00)";
  const diff = "too many pixels change between black and white (diff 61 above 60)";
  assert.equal(osr.reason(far, lines), `Refused: ${norm}. ${alone}`);
  assert.equal(osr.reason({ ...far, norm: 5, diff: 61 }, lines), `Refused: ${diff}. ${alone}`);
  assert.equal(osr.reason({ ...far, diff: 61 }, lines), `Refused: ${norm}, and ${diff}. ${alone}`);
});

test("an accepted image is told with its digit", () => {
  const near = { norm: 4, diff: 10, guess: 1, label: 1, probabilities };
  assert.match(osr.reason(near, lines), /below their lines, and the classifier says 1, with 90/);
});

test("colours are taken apart", () => {
  assert.deepEqual(Array.from(osr.rgb("#E69F00")), [230, 159, 0]);
});
