"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "model.js", "recommended.js");
const code = (...first) => Float32Array.from({ length: 128 }, (_, i) => first[i] ?? 0);
const base64 = (array) => Buffer.from(array.buffer).toString("base64");

test("a bank is opened: two numbers in a byte, each from its own low, in its own steps", () => {
  const low = code(-1, 10);
  const step = code(0.5, 2);
  const codes = new Uint8Array(128); // two codes of 128 numbers
  codes[0] = 0x3f;
  codes[64] = 0x01;
  const bank = osr.openBank({ codes: base64(codes), low: base64(low), step: base64(step) });
  assert.equal(bank.length, 256);
  assert.deepEqual([bank[0], bank[1], bank[128], bank[129]], [0.5, 40, -1, 12]);
});

test("the five nearest known codes, nearest first", () => {
  const bank = Float32Array.from([9, 3, 7, 1, 5, 2, 8].flatMap((x) => [...code(x)]));
  const found = osr.nearestKnown(code(4), bank);
  assert.deepEqual(Array.from(found, ({ at }) => at).slice(0, 2), [1, 4]); // 3 and 5, equally far: in the bank's order
  assert.deepEqual(
    Array.from(found, ({ distance }) => distance),
    [1, 1, 2, 3, 3],
  );
});

test("a code of no length has a place, too", () => {
  assert.deepEqual(
    Array.from(osr.placed(code(3, 4)).slice(0, 2), (value) => Math.round(1e6 * value)),
    [6e5, 8e5],
  );
  assert.equal(osr.placed(code())[0], 0);
});

test("the Mahalanobis distance, by hand", () => {
  const whiten = new Float32Array(128 * 128);
  [whiten[0], whiten[1], whiten[129]] = [2, 1, 3]; // an upper triangle: rows [2 1], [0 3]
  assert.equal(osr.toMean(code(2, 1), code(1, -1), whiten), 2 ** 2 + (1 + 2 * 3) ** 2);
  const centres = [code(10, 10), code(4, 4)];
  assert.equal(osr.toNearestCentre(code(2, 1), { whiten, centres }), (4 - 4) ** 2 + (2 + 3 - 4) ** 2);
});

test("energy, without an overflow", () => {
  assert.ok(Math.abs(osr.energy([0, 0]) + Math.log(2)) < 1e-12);
  assert.ok(Math.abs(osr.energy([2000, 2000]) + 2000 + Math.log(2)) < 1e-9);
});
