"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const load = require("./load.js");

const osr = load("page.js", "model.js");
[osr.MEAN, osr.STD] = [0.25, 0.5]; // of pixels: the build writes them
const floats = (...values) => Float32Array.from(values);
const base64 = (bytes) => Buffer.from(bytes).toString("base64");

const near = (got, wanted) => {
  assert.equal(got.length, wanted.length);
  wanted.forEach((value, i) => {
    assert.ok(Math.abs(got[i] - value) < 1e-6, `at ${i}: expected ${value}, got ${got[i]}`);
  });
};

const text = (array) => base64(new Uint8Array(array.buffer));

test("rows of whole numbers are unpacked, each times its row's scale", () => {
  const scales = text(floats(0.5, 2));
  near(osr.unpack({ bits: 8, numbers: base64(Int8Array.of(1, -2, 3, 127)), scales }), [0.5, -1, 6, 254]);
  const long = [0, 255, 1, 127, 1, 254, 0, 255]; // 1, -2, 256, 32767: upper bytes, then lower ones
  near(osr.unpack({ bits: 16, numbers: base64(long), scales }), [0.5, -1, 512, 65534]);
  assert.throws(() => osr.unpack({ bits: 8, numbers: text(Int8Array.of(1, 2, 3)), scales }), /expected 2 rows/);
});

test("a layer has weights and biases", () => {
  const layer = { bits: 8, numbers: text(Int8Array.of(4, 8)), scales: text(floats(0.25)), bias: text(floats(7)) };
  const weights = osr.decode({ head: layer });
  near(weights.head, [1, 2]);
  near(weights["head.bias"], [7]);
});

test("a convolution: each pixel from its neighbours, zeros outside", () => {
  const map = floats(1, 2, 3, 4); // 2×2
  const kernel = floats(1, 2, 3, 4, 5, 6, 7, 8, 9);
  // by hand: top left is 1·5 + 2·6 + 3·8 + 4·9, and so on
  near(osr.convolve(map, 2, kernel, floats(0)), [77, 67, 47, 37]);
});

test("a convolution sums over its inputs, adds its bias and has a filter for each pair of maps", () => {
  const maps = floats(1, 2, 3, 4, 10, 20, 30, 40); // two maps of 2×2
  const centre = (weight) => [0, 0, 0, 0, weight, 0, 0, 0, 0];
  const kernel = floats(...centre(1), ...centre(2), ...centre(3), ...centre(0));
  near(osr.convolve(maps, 2, kernel, floats(0.5, -1)), [21.5, 42.5, 63.5, 84.5, 2, 5, 8, 11]);
});

test("pooling keeps the largest of each block, map by map", () => {
  const first = [1, 2, 5, 0, 3, 4, 0, 6, 0, 0, 9, 8, 7, 0, 8, 8];
  const second = first.map((value) => -value);
  near(osr.pool(floats(...first, ...second), 4), [4, 6, 7, 9, -1, 0, 0, -8]);
});

test("enlarging makes a block of each pixel, map by map", () => {
  const blocks = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4];
  near(osr.enlarge(floats(1, 2, 3, 4, 5, 6, 7, 8), 2), [...blocks, ...blocks.map((value) => value + 4)]);
});

test("a linear layer is matrix times vector plus bias", () => {
  near(osr.linear(floats(1, 2), floats(1, 2, 3, 4, 5, 6), floats(10, 20, 30)), [15, 31, 47]);
});

test("ReLU and softmax", () => {
  near(osr.relu(floats(-1, 0, 2)), [0, 0, 2]);
  near(osr.softmax(floats(0, Math.log(2), Math.log(5))), [1 / 8, 2 / 8, 5 / 8]);
  near(osr.softmax(floats(1000, 1000)), [0.5, 0.5]); // without an overflow
});

/* Of each layer its outputs, and the weights of each. */
const LAYERS = [
  ["conv1", 16, 9],
  ["conv2", 32, 16 * 9],
  ["code", 128, 1568],
  ["head", 10, 128],
  ["draw", 1568, 128],
  ["draw1", 16, 32 * 9],
  ["draw2", 1, 16 * 9],
];

/* Weights that lead one bright pixel through every layer, all others zero. */
const onePath = () => {
  const weights = {};
  for (const [name, outputs, inputs] of LAYERS) {
    weights[name] = new Float32Array(outputs * inputs);
    weights[`${name}.bias`] = new Float32Array(outputs);
  }
  const middle = 4; // of a filter
  const pixel = 3 * 7 + 3; // of the first map of 7×7
  weights.conv1[middle] = 1;
  weights.conv2[middle] = 3;
  weights.code[pixel] = 0.5;
  weights["code.bias"].set([1, -1]);
  weights.head[128 * 3] = 2; // digit 3
  weights["head.bias"][5] = -1;
  weights.draw[128 * pixel] = 1;
  weights.draw1[middle] = 2;
  weights.draw2[middle] = 1;
  weights["draw2.bias"][0] = -1;
  return weights;
};

test("the forward pass, by hand", () => {
  const image = new Uint8Array(784);
  image[13 * 28 + 12] = 255; // pooled twice, it lies in row 3, column 3
  const { code, logits, probabilities, copy } = osr.forward(onePath(), image);
  near(code.slice(0, 2), [3.25, 0]); // (1 - 0.25) / 0.5 = 1.5, and 0.5 · 3 · 1.5 + 1; what is below 0 becomes 0
  near(logits, [0, 0, 0, 6.5, 0, -1, 0, 0, 0, 0]);
  const sum = Math.exp(6.5) + Math.exp(-1) + 8;
  near([probabilities[3], probabilities[5]], [Math.exp(6.5) / sum, Math.exp(-1) / sum]);
  const isDrawn = (i) => [12, 13, 14, 15].includes(i % 28) && [12, 13, 14, 15].includes(Math.floor(i / 28));
  // 2 · 3.25 - 1 = 5.5 standard deviations above the mean; around it -1, and nothing is darker than the mean
  near(
    copy,
    Array.from({ length: 784 }, (_, i) => (isDrawn(i) ? 0.25 + 0.5 * 5.5 : 0.25)),
  );
});

test("outside of an image lies the mean, not black", () => {
  const weights = onePath();
  weights.conv1.set([1, 0, 0, 0, 0]); // each pixel from its neighbour above, to the left
  weights["conv1.bias"][0] = 0.5; // black is -0.5: only what lies outside is left
  weights.code[0] = 0.5; // looks at the top left corner
  const { code } = osr.forward(weights, new Uint8Array(784));
  near(code.slice(0, 1), [1.75]); // the corner: 0.5 · 3 · (0 + 0.5), the middle 0, and 1
});

test("the first distance is counted in standard deviations of pixels", () => {
  const image = Uint8Array.of(0, 255, 127, 128);
  near([osr.norm(image, floats(0.5, 0.5, 127 / 255, 128 / 255))], [Math.sqrt(0.5) / 0.5]);
});

test("Otsu's level parts the two groups that lie furthest apart, at the centre of the last dark bin", () => {
  const level = (...values) => osr.otsu(floats(...values));
  near([level(0, 0, 0, 1), level(0, 1, 1, 1)], [0.5 / 256, 0.5 / 256]);
  // of 8, after 0: 4 · 4 · (0.7 - 0)² = 7.84; after 0.4: 6 · 2 · (1 - 0.8 / 6)² = 9.01. 0.4 lies in bin 102
  near([level(0, 0, 0, 0, 0.4, 0.4, 1, 1)], [102.5 / 256]);
  near([level(0, 0, 0.6, 0.6, 1, 1, 1, 1)], [0.5 / 256]);
  near([level(-3, -3, 5, 5)], [-3 + (8 * 0.5) / 256]); // the bins fill the range of the picture
});

test("an edge belongs to the bin above it, the last one to the last bin", () => {
  const edges = floats(...Array.from({ length: 257 }, (_, i) => i));
  const counts = osr.histogram(floats(0, 0.9, 1, 255, 256), edges);
  assert.deepEqual([counts[0], counts[1], counts[255], osr.sum(counts)], [2, 1, 2, 5]);
});

test("the second distance: how many pixels change between black and white, each picture cut at its own level", () => {
  const image = Uint8Array.of(0, 0, 0, 255);
  assert.equal(osr.diff(...osr.binarised(image, floats(0.13, 0.14, 0.13, 1.2))), 0);
  assert.equal(osr.diff(...osr.binarised(image, floats(0.6, 0.6, 0.6, 0.7))), 0); // bright, and black all the same
  assert.equal(osr.diff(...osr.binarised(image, floats(0.1, 0.1, 1, 0.1))), 2);
  assert.equal(osr.diff(...osr.binarised(Uint8Array.of(200, 200, 200, 200), floats(0.1, 0.1, 1, 1))), 2); // what is flat is black
});
