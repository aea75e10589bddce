"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "picture.js");

/* A picture from a function of row and column. */
const picture = (height, width, level) => {
  const grey = Float64Array.from({ length: height * width }, (_, i) => level(Math.floor(i / width), i % width));
  return { grey, height, width };
};

const isWithin = (y, x, [top, left, height, width]) => y >= top && y < top + height && x >= left && x < left + width;
const rectangle = (...box) => picture(100, 100, (y, x) => (isWithin(y, x, box) ? 1 : 0));
const bytes = (box) => Array.from(picture(28, 28, (y, x) => (isWithin(y, x, box) ? 255 : 0)).grey);
const toMnist = (one) => Array.from(osr.toMnist(one));

test("halves are rounded to the even number", () => {
  assert.deepEqual([-1.5, -0.5, 0.5, 1.5, 2.5, 2.4, 2.6].map(osr.rint), [-2, -0, 0, 2, 2, 2, 3]);
});

test("a quantile lies between the two nearest values", () => {
  assert.equal(osr.quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(osr.quantile([10, 0], 0.25), 2.5);
  assert.equal(osr.quantile([7], 0.95), 7);
});

test("a row is scaled by means under a triangle", () => {
  const [first, second] = osr.triangles(4, 2);
  const rounded = (weights) => Array.from(weights, (weight) => Number(weight.toFixed(12)));
  // by hand: pixel centres 0.5, 1.5 and 2.5 are 0.5, 0.5 and 1.5 from the new centre 1, of a reach of 2
  assert.deepEqual([first.first, rounded(first.weights)], [0, rounded([3 / 7, 3 / 7, 1 / 7])]);
  assert.deepEqual([second.first, rounded(second.weights)], [1, rounded([1 / 7, 3 / 7, 3 / 7])]);
});

test("enlarged, a pixel lies between its neighbours", () => {
  const [row] = [
    osr.resize(
      picture(1, 2, (_, x) => x),
      1,
      4,
    ),
  ];
  assert.deepEqual([row.height, row.width, ...row.grey], [1, 4, 0, 0.25, 0.75, 1]);
});

test("rows and columns are scaled each by their own measure", () => {
  const column = osr.resize(
    picture(2, 3, (y) => y),
    4,
    3,
  );
  assert.deepEqual([column.height, column.width], [4, 3]);
  for (let y = 0; y < 4; y++) {
    for (let x = 0; x < 3; x++) assert.ok(Math.abs(column.grey[3 * y + x] - [0, 0.25, 0.75, 1][y]) < 1e-6);
  }
});

test("a square fills the box of 20×20 in the middle, wherever it was drawn and however large", () => {
  // centre of mass at 14.5: from 4.5 on, which rounds to 4
  for (const box of [
    [40, 40, 20, 20],
    [3, 60, 30, 30],
    [70, 8, 10, 10],
  ]) {
    assert.deepEqual(toMnist(rectangle(...box)), bytes([4, 4, 20, 20]));
  }
});

test("a bar keeps its shape", () => {
  assert.deepEqual(toMnist(rectangle(20, 45, 40, 10)), bytes([4, 12, 20, 5])); // 14.5 - 2.5
});

test("the heavier part comes to the middle", () => {
  // an L of 20×20: a column 4 wide and a foot 4 high
  const isInk = (y, x) => isWithin(y, x, [40, 40, 20, 4]) || isWithin(y, x, [56, 40, 20, 20]);
  const out = toMnist(picture(100, 100, (y, x) => (y < 60 && isInk(y, x) ? 1 : 0)));
  const rows = [...Array(28).keys()].filter((y) => out.slice(28 * y, 28 * (y + 1)).some((value) => value > 0));
  const columns = [...Array(28).keys()].filter((x) => out.some((value, i) => i % 28 === x && value > 0));
  // mass: 20·4 at row 10, column 2, and 4·16 at row 18, column 12: its centre is row 13.55…, column 6.44…
  assert.deepEqual([rows[0], rows.at(-1), columns[0], columns.at(-1)], [1, 20, 8, 27]);
});

test("ink may be dark on light or light on dark, faint or strong", () => {
  const wanted = bytes([4, 4, 20, 20]);
  for (const [paper, ink] of [
    [0, 1],
    [1, 0],
    [0.9, 0.3],
    [0.2, 0.6],
  ]) {
    const drawn = picture(100, 100, (y, x) => (isWithin(y, x, [30, 50, 20, 20]) ? ink : paper));
    assert.deepEqual(toMnist(drawn), wanted);
  }
});

test("a grey stroke beside a strong one stays grey", () => {
  const level = (y, x) => (isWithin(y, x, [40, 40, 20, 10]) ? 1 : isWithin(y, x, [40, 50, 20, 10]) ? 0.4 : 0);
  const out = toMnist(picture(100, 100, level));
  const row = out.slice(28 * 14, 28 * 15).filter((value) => value > 0);
  assert.deepEqual(row, [...Array(10).fill(255), ...Array(10).fill(102)]);
});

test("nothing is drawn on an empty page, nor by what is hardly there", () => {
  const black = Array(784).fill(0);
  for (const paper of [0, 0.4, 1]) assert.deepEqual(toMnist(picture(30, 50, () => paper)), black);
  const faint = picture(100, 100, (y, x) => (isWithin(y, x, [40, 40, 20, 20]) ? 0.04 : 0));
  assert.deepEqual(toMnist(faint), black);
  assert.deepEqual(toMnist(picture(1, 1, () => 0.3)), black);
});

test("a shadow over the page is no stroke", () => {
  const level = (y, x) => (isWithin(y, x, [40, 40, 20, 20]) ? 0 : 1 - 0.0025 * x); // by up to 0.12 off the median
  assert.deepEqual(toMnist(picture(100, 100, level)), bytes([4, 4, 20, 20]));
});

test("what is drawn over the edge stays", () => {
  // a column from edge to edge: a tenth of the upper and of the lower edge is ink
  assert.deepEqual(toMnist(rectangle(0, 40, 100, 10)), bytes([4, 14, 20, 2]));
  // a bar along the upper and one along the lower edge: most of the border is ink, which only its owner knows
  const bars = osr.toMnist(
    picture(100, 100, (y) => (y < 10 || y >= 90 ? 1 : 0)),
    true,
  );
  const isBar = (i) => [4, 5, 22, 23].includes(Math.floor(i / 28)) && i % 28 >= 4 && i % 28 < 24;
  assert.deepEqual(
    Array.from(bars, (value) => value > 128),
    Array.from(bars, (_, i) => isBar(i)),
  );
});

test("of a photograph, whose border has many shades, the middle square is taken", () => {
  for (const [height, width] of [
    [56, 96],
    [96, 56],
  ]) {
    const out = toMnist(picture(height, width, (y, x) => (y + x) / 255)); // two pixels become one
    // the mean of a ramp under a triangle is its value at the new pixel's centre: 29 and 29, and 20 to the square
    assert.equal(out[14 * 28 + 14], 28.5 + 28.5 + 20);
    assert.ok(out[0] < out[27] && out[27] < out[783]);
  }
});

/* A picture from colours: [red, green, blue, opacity] of each pixel. */
const canvas = (...colours) => ({ data: Uint8ClampedArray.from(colours.flat()), height: 1, width: colours.length });
const levels = (...colours) => Array.from(osr.toGrey(canvas(...colours)).grey, (value) => Math.round(255 * value));

test("colours become as light as they look", () => {
  const opaque = [
    [255, 0, 0, 255],
    [0, 255, 0, 255],
    [0, 0, 255, 255],
    [255, 255, 255, 255],
  ];
  assert.deepEqual(levels(...opaque), [76, 150, 29, 255]);
});

test("what is transparent lies on white paper, or on black where the ink is light", () => {
  const clear = [0, 0, 0, 0];
  assert.deepEqual(levels([0, 0, 0, 255], clear), [0, 255]);
  assert.deepEqual(levels([255, 255, 255, 255], clear), [255, 0]);
  assert.deepEqual(levels([0, 0, 0, 51], clear), [204, 255]); // a fifth of black
  assert.deepEqual(levels(clear, clear), [255, 255]);
});

test("a picture keeps its size", () => {
  const { height, width } = osr.toGrey({ data: new Uint8ClampedArray(24), height: 2, width: 3 });
  assert.deepEqual([height, width], [2, 3]);
});
