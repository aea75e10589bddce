/* The networks of the playground, forward, in plain JavaScript: the report's multi-task autoencoder with its published
 * weights, layer by layer as in chapter 5, and its two distances; and the halves that chapter 8's network shares with it.
 *
 * Maps are Float32Arrays in the order channel, row, column. Batch norm is gone: in use it only scales and shifts what a
 * convolution puts out, so the export multiplied it into the convolution's weights.
 */
"use strict";

/* Rows of numbers, as the build packed them: each a whole number, with its sign, times its row's scale. */
osr.unpack = ({ bits, numbers, scales }) => {
  const bytes = osr.bytes(numbers);
  const rows = osr.floats(scales);
  const count = bits > 8 ? bytes.length / 2 : bytes.length; // all upper bytes come first, then all lower ones
  const width = count / rows.length;
  if (!Number.isInteger(width)) throw new Error(`expected ${rows.length} rows, got ${count} numbers`);
  const signed = (byte) => (byte << 24) >> 24;
  const whole = (i) => (bits > 8 ? 256 * signed(bytes[i]) + bytes[count + i] : signed(bytes[i]));
  return Float32Array.from({ length: count }, (_, i) => whole(i) * rows[Math.floor(i / width)]);
};

/* A network's layers, by their names: weights, and biases under the name with .bias. */
osr.decode = (packed) => {
  const weights = {};
  for (const [name, layer] of Object.entries(packed)) {
    weights[name] = osr.unpack(layer);
    weights[`${name}.bias`] = osr.floats(layer.bias);
  }
  return weights;
};

/* A convolution, 3×3, padding 1: [inputs, size, size] → [bias.length, size, size]. */
osr.convolve = (maps, size, kernel, bias) => {
  const area = size * size;
  const inputs = maps.length / area;
  const out = new Float32Array(bias.length * area);
  for (let o = 0; o < bias.length; o++) {
    const to = out.subarray(o * area, (o + 1) * area).fill(bias[o]);
    for (let i = 0; i < inputs; i++) {
      const from = maps.subarray(i * area, (i + 1) * area);
      const filter = kernel.subarray(9 * (o * inputs + i));
      for (let k = 0; k < 9; k++) osr.addShifted(to, from, size, filter[k], Math.floor(k / 3) - 1, (k % 3) - 1);
    }
  }
  return out;
};

/* Adds a map times a weight to another, each pixel from dy rows below and dx columns to the right; outside are zeros. */
osr.addShifted = (to, from, size, weight, dy, dx) => {
  const left = Math.max(0, -dx);
  const right = Math.min(size, size - dx);
  for (let y = Math.max(0, -dy); y < Math.min(size, size - dy); y++) {
    const here = y * size;
    const there = (y + dy) * size + dx;
    for (let x = left; x < right; x++) to[here + x] += weight * from[there + x];
  }
};

/* The largest of each 2×2 block. */
osr.pool = (maps, size) => {
  const out = new Float32Array(maps.length / 4);
  let i = 0;
  for (let row = 0; row < maps.length / size; row += 2) {
    for (let x = 0; x < size; x += 2, i++) {
      const at = row * size + x;
      out[i] = Math.max(maps[at], maps[at + 1], maps[at + size], maps[at + size + 1]);
    }
  }
  return out;
};

/* Each pixel becomes a block of 2×2. */
osr.enlarge = (maps, size) => {
  const wide = 2 * size;
  return Float32Array.from({ length: 4 * maps.length }, (_, i) => {
    const row = Math.floor(i / wide);
    const column = i % wide;
    return maps[(row >> 1) * size + (column >> 1)];
  });
};

/* matrix · x + bias. */
osr.linear = (x, matrix, bias) =>
  bias.map((start, o) => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += matrix[o * x.length + i] * x[i];
    return start + sum;
  });

osr.relu = (x) => x.map((value) => Math.max(0, value));

osr.softmax = (logits) => {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = osr.sum(powers);
  return powers.map((power) => power / sum);
};

/* 784 bytes, 0 black to 255 white, as brightness from 0 to 1. */
osr.brightness = (image) => Float32Array.from(image, (pixel) => pixel / 255);

/* Pixels [784], as the network wants them, to what its code is made of [128]. */
osr.encode = (weights, pixels) => {
  const stage = (x, size, name) =>
    osr.relu(osr.pool(osr.convolve(x, size, weights[name], weights[`${name}.bias`]), size));
  return osr.linear(stage(stage(pixels, 28, "conv1"), 14, "conv2"), weights.code, weights["code.bias"]);
};

/* A code to a drawing of 14×14, before the function that ends the network. */
osr.drawing = (weights, code) => {
  let x = osr.relu(osr.linear(code, weights.draw, weights["draw.bias"]));
  x = osr.relu(osr.convolve(x, 7, weights.draw1, weights["draw1.bias"]));
  return osr.convolve(osr.enlarge(x, 7), 14, weights.draw2, weights["draw2.bias"]);
};

/* image: 784 bytes. Returns logits [10], probabilities [10], code [128], copy [784]: brightness, from osr.MEAN up. */
osr.forward = (weights, image) => {
  const pixels = osr.brightness(image).map((pixel) => (pixel - osr.MEAN) / osr.STD);
  const code = osr.relu(osr.encode(weights, pixels));
  const logits = osr.linear(code, weights.head, weights["head.bias"]);
  const drawing = osr.relu(osr.drawing(weights, code)).map((value) => osr.MEAN + osr.STD * value);
  return { logits, probabilities: osr.softmax(logits), code, copy: osr.enlarge(drawing, 14) };
};

/* The report's first distance between an image (bytes) and its copy, in its unit, as osrlib.scores.norm. */
osr.norm = (image, copy) => {
  let sum = 0;
  for (let i = 0; i < copy.length; i++) sum += (image[i] / 255 - copy[i]) ** 2;
  return Math.sqrt(sum) / osr.STD;
};

/* Image and copy in black (0) and white (1), each cut at its own level. */
osr.binarised = (image, copy) =>
  [osr.brightness(image), copy].map((picture) => {
    const level = osr.otsu(picture);
    return Uint8Array.from(picture, (value) => value > level);
  });

osr.BINS = 256;

/* Otsu's level of a picture: of all cuts between two bins, the one whose dark and bright group have means furthest apart,
 * weighed by their sizes. As in scikit-image, it is the centre of the last dark bin, and all is rounded to 32 bits, so
 * that the same picture gets the same level. The level of a flat picture is its only value: all of it is black.
 */
osr.otsu = (picture) => {
  const edges = osr.edges(picture);
  if (edges[0] === edges[osr.BINS]) return edges[0];
  const centres = edges.slice(1).map((edge, bin) => (edges[bin] + edge) / 2);
  const counts = osr.histogram(picture, edges);
  const dark = osr.groups(counts, centres);
  const bright = osr.groups(counts.reverse(), centres.slice().reverse()); // the last bin, the last two, and so on
  const gaps = dark.means.slice(1).map((_, cut) => dark.means[cut] - bright.means[osr.BINS - 2 - cut]);
  const squares = gaps.map((gap) => gap * gap);
  const apart = squares.map((square, cut) => dark.sizes[cut] * bright.sizes[osr.BINS - 2 - cut] * square);
  return centres[apart.indexOf(Math.max(...apart))];
};

/* Where the bins between the smallest and the largest value begin, and where the last one ends. */
osr.edges = (picture) => {
  const [low, high] = [Math.min(...picture), Math.max(...picture)];
  const step = Math.fround(Math.fround(high - low) / osr.BINS);
  const edges = Float32Array.from({ length: osr.BINS + 1 }, (_, bin) => Math.fround(bin * step) + low);
  edges[osr.BINS] = high;
  return edges;
};

/* How many values lie in each bin: its lower edge belongs to it, its upper one does not; to the last, both. */
osr.histogram = (picture, edges) => {
  const counts = new Float32Array(osr.BINS);
  const perBin = osr.BINS / (edges[osr.BINS] - edges[0]);
  for (const value of picture) {
    let bin = Math.min(osr.BINS - 1, Math.floor((value - edges[0]) * perBin));
    while (value < edges[bin]) bin--; // rounding can miss by one
    while (bin < osr.BINS - 1 && value >= edges[bin + 1]) bin++;
    counts[bin]++;
  }
  return counts;
};

/* The sizes and means of the groups of values in the first bin, in the first two, and so on. */
osr.groups = (counts, centres) => {
  const sizes = osr.runningSums(counts);
  const sums = osr.runningSums(counts.map((count, bin) => count * centres[bin]));
  return { sizes, means: sums.map((sum, bin) => sum / sizes[bin]) };
};

osr.runningSums = (values) => {
  const sums = values.slice();
  for (let i = 1; i < sums.length; i++) sums[i] += sums[i - 1];
  return sums;
};

/* The report's second distance, as osrlib.scores.diff: how many pixels differ in black and white. */
osr.diff = (ink, copyInk) => ink.filter((on, i) => on !== copyInk[i]).length;
