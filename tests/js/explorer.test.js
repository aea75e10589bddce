"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "scatter.js", "look.js", "explorer.js");

const digits = {
  name: "mnist",
  known: true,
  scored: true,
  norm: [1, 2, 3, 4],
  diff: [10, 40, 10, 10],
  right: [1, 1, 0, 1],
};
const clothes = { name: "fashion", known: false, scored: true, norm: [3, 5, 6], diff: [20, 5, 99], right: null };
const letters = { name: "letters", known: false, scored: false, norm: [1, 9], diff: [1, 1], right: null };

test("an image is refused above one line or the other; on a line it is not", () => {
  const refused = (norm, diff) => osr.countWorld(digits, { norm, diff }).refused;
  assert.equal(refused(4, 40), 0);
  assert.equal(refused(3, 40), 1);
  assert.equal(refused(4, 39), 1);
  assert.equal(refused(3, 39), 2);
  assert.equal(refused(1.5, 39), 3); // the second lies above both
  assert.equal(refused(0, 0), 4);
});

test("a digit is correct if accepted and named rightly, a stranger if refused", () => {
  const lines = { norm: 3, diff: 50 };
  const told = { images: 4, refused: 1, correct: 2, name: "mnist", known: true, scored: true };
  assert.deepEqual({ ...osr.countWorld(digits, lines) }, told);
  assert.equal(osr.countWorld(clothes, lines).correct, 2);
  assert.equal(osr.countWorld(letters, lines).correct, 1);
});

test("the three accuracies are of the report's worlds, each image counted once", () => {
  const counted = osr.count([digits, clothes, letters], { norm: 3, diff: 50 });
  assert.deepEqual([counted.mnist, counted.ood, counted.total], [2 / 4, 2 / 3, 4 / 7]);
  assert.deepEqual(
    Array.from(counted.rows, ({ name }) => name),
    ["mnist", "fashion", "letters"],
  );
});

test("worlds of different size are not averaged, but their images", () => {
  const photographs = { ...clothes, name: "cifar10", norm: [9], diff: [0] };
  assert.equal(osr.count([digits, clothes, photographs], { norm: 3, diff: 50 }).ood, 3 / 4);
});

test("worlds are unpacked as the build packs them", () => {
  const base64 = (array) => Buffer.from(array.buffer).toString("base64");
  osr.DISTANCES = { scored: ["mnist"] };
  const norm = base64(Float32Array.of(4.5, 1e-3));
  const diff = base64(Uint16Array.of(3, 700));
  const known = osr.unpackWorld({ name: "mnist", known: true, norm, diff, right: base64(Uint8Array.of(1, 0)) });
  assert.deepEqual([known.name, known.known, known.scored], ["mnist", true, true]);
  assert.deepEqual(Array.from(known.norm), [4.5, Math.fround(1e-3)]);
  assert.deepEqual(
    [Array.from(known.diff), Array.from(known.right)],
    [
      [3, 700],
      [1, 0],
    ],
  );
  const unknown = osr.unpackWorld({ name: "letters", known: false, norm, diff });
  assert.deepEqual([unknown.known, unknown.scored, unknown.right], [false, false, null]);
});

test("an axis leads there and back, and what lies beyond it is told", () => {
  for (const [key, value] of [
    ["norm", 19.5],
    ["diff", 68],
  ]) {
    assert.ok(Math.abs(osr.valueAt(key, osr.along(key, value)) - value) < 1e-9);
  }
  assert.deepEqual([osr.along("norm", 0), osr.along("norm", 1000)], [0, 1]);
  assert.deepEqual([osr.isBeyond(20, 68), osr.isBeyond(1, 68), osr.isBeyond(20, 0)], [false, true, true]);
});

test("a verdict names the lines that refuse, and whether that is right", () => {
  const letter = { name: "letters", known: false, guess: 8, label: "e", norm: 20, diff: 70 };
  const eight = { ...letter, name: "mnist", known: true, label: "8" };
  const end = (dot, norm, diff) => osr.verdict(dot, { norm, diff }).replace(/^.*?diff 70\. /, "");
  assert.equal(end(letter, 19, 60), "Refused, because norm and diff are above their lines. Right: it is unknown.");
  assert.equal(end(eight, 19, 80), "Refused, because norm is above its line. Wrong: it is a digit.");
  assert.match(end(eight, 20, 70), /^Accepted as the digit 8, .* Right\.$/);
  assert.match(end({ ...eight, label: "3" }, 20, 70), /Wrong: it is the digit 3\.$/);
  assert.match(end(letter, 20, 70), /Wrong: it is unknown\.$/);
});
