"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "roc.js");
const plain = (corners) => Array.from(corners, (corner) => Array.from(corner));

test("the chapter's ten images: 19 of 24 pairs", () => {
  const corners = osr.roc(osr.TEN.known, osr.TEN.unknown);
  assert.equal(corners.length, 11);
  assert.deepEqual(plain(corners).slice(0, 3), [
    [0, 0],
    [0, 1 / 4],
    [1 / 6, 1 / 4],
  ]);
  assert.ok(Math.abs(osr.area(corners) - 19 / 24) < 1e-12);
});

test("equal scores are refused together, and count half", () => {
  assert.deepEqual(plain(osr.roc([1, 2], [2, 3])), [
    [0, 0],
    [0, 0.5],
    [0.5, 1],
    [1, 1],
  ]);
  assert.equal(osr.area(osr.roc([1, 2], [2, 3])), 7 / 8);
  assert.equal(osr.area(osr.roc([5, 5, 5], [5, 5])), 0.5);
  assert.equal(osr.area(osr.roc([1, 2], [3])), 1);
  assert.equal(osr.area(osr.roc([3], [1, 2])), 0);
});

test("what lies on the line is accepted", () => {
  assert.equal(osr.refused([1, 2, 3], 2), 1);
  assert.equal(osr.share([1, 2, 3, 4], 2), 0.5);
});
