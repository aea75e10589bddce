/* The book's multi-task autoencoder, forward, in plain JavaScript: the published weights, layer by layer as in chapter 5.
 *
 * osr.decode unpacks what book/export.py wrote; osr.forward(weights, image) runs the network on one image.
 * Maps are Float32Arrays in the order channel, row, column. Batch norm is gone: in use it only scales and shifts what a
 * convolution puts out, so the export multiplied it into the convolution's weights.
 */
"use strict";

// names and shapes in the order of the export
osr.LAYERS = [
  ["conv1", [16, 1, 3, 3]], ["conv1.bias", [16]],
  ["conv2", [32, 16, 3, 3]], ["conv2.bias", [32]],
  ["code", [128, 1568]], ["code.bias", [128]],
  ["head", [10, 128]], ["head.bias", [10]],
  ["draw", [1568, 128]], ["draw.bias", [1568]],
  ["draw1", [16, 32, 3, 3]], ["draw1.bias", [16]],
  ["draw2", [1, 16, 3, 3]], ["draw2.bias", [1]],
];

/* Three bytes a weight, base64: a whole number, to be multiplied by its part's scale. */
osr.decode = function ({ numbers, scales }) {
  const bytes = osr.bytes(numbers), weights = {};
  let start = 0;
  osr.LAYERS.forEach(([name, shape], part) => {
    const length = shape.reduce((product, side) => product * side, 1);
    weights[name] = Float32Array.from({ length }, (_, i) => {
      const at = 3 * (start + i);
      return scales[part] * ((bytes[at] << 8 | bytes[at + 1] << 16 | bytes[at + 2] << 24) >> 8); // with its sign
    });
    start += length;
  });
  if (3 * start !== bytes.length) throw new Error(`expected ${start} weights, got ${bytes.length / 3}`);
  return weights;
};

/* 3×3, padding 1: [inputs, size, size] → [bias.length, size, size]. */
osr.convolve = function (maps, size, kernel, bias) {
  const area = size * size, inputs = maps.length / area, out = new Float32Array(bias.length * area);
  for (let o = 0; o < bias.length; o++) {
    out.fill(bias[o], o * area, (o + 1) * area);
    for (let i = 0; i < inputs; i++) {
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          const weight = kernel[((o * inputs + i) * 3 + dy + 1) * 3 + dx + 1];
          const left = Math.max(0, -dx), right = Math.min(size, size - dx);
          for (let y = Math.max(0, -dy); y < Math.min(size, size - dy); y++) {
            const to = o * area + y * size, from = i * area + (y + dy) * size + dx;
            for (let x = left; x < right; x++) out[to + x] += weight * maps[from + x];
          }
        }
      }
    }
  }
  return out;
};

/* The largest of each 2×2 block. */
osr.pool = function (maps, size) {
  const half = size / 2, out = new Float32Array(maps.length / 4);
  for (let i = 0, row = 0; row < maps.length / size; row += 2) {
    for (let x = 0; x < size; x += 2, i++) {
      const at = row * size + x;
      out[i] = Math.max(maps[at], maps[at + 1], maps[at + size], maps[at + size + 1]);
    }
  }
  return out;
};

/* Each pixel becomes a block of 2×2. */
osr.enlarge = function (maps, size) {
  const wide = 2 * size, out = new Float32Array(4 * maps.length);
  for (let i = 0; i < out.length; i++) {
    const row = Math.floor(i / wide), column = i % wide;
    out[i] = maps[(row >> 1) * size + (column >> 1)];
  }
  return out;
};

osr.linear = function (x, matrix, bias) {
  const out = Float32Array.from(bias);
  for (let o = 0; o < out.length; o++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += matrix[o * x.length + i] * x[i];
    out[o] += sum;
  }
  return out;
};

osr.relu = (x) => x.map((value) => Math.max(0, value));
osr.sigmoid = (x) => x.map((value) => 1 / (1 + Math.exp(-value)));

osr.softmax = function (logits) {
  const largest = Math.max(...logits), powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
};

/* image: 784 bytes, 0 black to 255 white. Returns logits [10], probabilities [10], code [128], copy [784] in [0, 1]. */
osr.forward = function (weights, image) {
  let x = Float32Array.from(image, (pixel) => pixel / 255);
  x = osr.relu(osr.pool(osr.convolve(x, 28, weights.conv1, weights["conv1.bias"]), 28));
  x = osr.relu(osr.pool(osr.convolve(x, 14, weights.conv2, weights["conv2.bias"]), 14));
  const code = osr.linear(x, weights.code, weights["code.bias"]);
  const logits = osr.linear(code, weights.head, weights["head.bias"]);
  x = osr.relu(osr.linear(code, weights.draw, weights["draw.bias"]));
  x = osr.relu(osr.convolve(x, 7, weights.draw1, weights["draw1.bias"]));
  x = osr.convolve(osr.enlarge(x, 7), 14, weights.draw2, weights["draw2.bias"]);
  const copy = osr.enlarge(osr.sigmoid(x), 14);
  return { logits, probabilities: osr.softmax(logits), code, copy };
};

/* The report's two distances between an image (bytes) and its copy: as osrlib.scores.norm and osrlib.scores.diff. */
osr.norm = function (image, copy) {
  let sum = 0;
  for (let i = 0; i < 784; i++) sum += (image[i] / 255 - copy[i]) ** 2;
  return Math.sqrt(sum);
};
osr.binarised = (image, copy) => [Uint8Array.from(image, (p) => p > 127.5), Uint8Array.from(copy, (p) => p > 0.5)];
osr.diff = function (image, copy) {
  const [ink, copyInk] = osr.binarised(image, copy);
  return ink.reduce((count, on, i) => count + (on !== copyInk[i]), 0);
};
