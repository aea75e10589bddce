"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "model.js", "picture.js", "board.js", "prediction.js", "playground.js");
const lines = { norm: 5, diff: 60.9 };
const probabilities = [0.1, 0.9];

test("a refusal names what lies above its line, and what the classifier alone would have said", () => {
  const far = { norm: 5.5, diff: 60, guess: 1, label: "unknown", probabilities };
  const [norm, diff] = ["too far from the drawing (norm 5.50 above 5.00)", "in too many pixels (diff 61 above 60.90)"];
  const both = osr.reason({ ...far, diff: 61 }, lines);
  assert.ok(both.startsWith("Refused") && both.includes(norm) && both.includes(diff) && both.includes("90\u00a0%"));
  assert.ok(!osr.reason(far, lines).includes(diff));
  assert.ok(!osr.reason({ ...far, norm: 5, diff: 61 }, lines).includes(norm));
});

test("an accepted image is told with its digit", () => {
  const near = { norm: 4, diff: 10, guess: 1, label: 1, probabilities };
  assert.match(osr.reason(near, lines), /near enough to the drawing.*says 1, with 90/);
});

test("colours are taken apart", () => {
  assert.deepEqual(Array.from(osr.rgb("#E69F00")), [230, 159, 0]);
});

test("the log is CSV: a line of names, a line for each row, quotes where they are needed", () => {
  const rows = [
    { number: 1, picture: "drawing" },
    { number: 2, picture: 'my "a", twice' },
  ];
  assert.equal(osr.csv(rows), 'number,picture\n1,drawing\n2,"my ""a"", twice"\n');
});
