/* Any picture in MNIST's format, step by step as osrlib.folder.to_mnist: what is drawn or uploaded passes through here. */
"use strict";

osr.rint = function (x) { // to the nearest whole number, halves to the even one, as Python rounds
  const nearest = Math.round(x);
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
};

osr.quantile = function (values, q) {
  const sorted = Float64Array.from(values).sort(), at = q * (sorted.length - 1), below = Math.floor(at);
  return sorted[below] + (at - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
};

/* One row or column scaled: each new pixel is a mean of old ones under a triangle, as in Pillow's BILINEAR. */
osr.triangles = function (from, to) {
  const scale = from / to, support = Math.max(scale, 1), all = [];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = [];
    for (let x = first; x < last; x++) weights.push(Math.max(0, 1 - Math.abs((x - centre + 0.5) / support)));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    all.push({ first, weights: weights.map((weight) => weight / sum) });
  }
  return all;
};

osr.resize = function (grey, height, width, newHeight, newWidth) {
  const columns = osr.triangles(width, newWidth), rows = osr.triangles(height, newHeight);
  const across = new Float32Array(height * newWidth), out = new Float32Array(newHeight * newWidth);
  for (let y = 0; y < height; y++) {
    columns.forEach(({ first, weights }, x) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * grey[y * width + first + k];
      across[y * newWidth + x] = sum;
    });
  }
  rows.forEach(({ first, weights }, y) => {
    for (let x = 0; x < newWidth; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * across[(first + k) * newWidth + x];
      out[y * newWidth + x] = sum;
    }
  });
  return out;
};

osr.toBytes = (grey) => Uint8Array.from(grey, (value) => Math.min(255, Math.max(0, osr.rint(255 * value))));

osr.cut = function (grey, width, top, left, newHeight, newWidth) {
  const out = new Float64Array(newHeight * newWidth);
  for (let y = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) out[y * newWidth + x] = grey[(top + y) * width + left + x];
  }
  return out;
};

/* Where a profile starts, so that its centre of mass lies at 14.5 and all of it inside. */
osr.place = function (mass) {
  let moment = 0, sum = 0;
  mass.forEach((value, i) => { moment += (i + 0.5) * value; sum += value; });
  return Math.min(28 - mass.length, Math.max(0, osr.rint(14.5 - moment / sum)));
};

/* grey: height × width numbers in [0, 1]. Returns 784 bytes, bright on black; all black where nothing was drawn. */
osr.toMnist = function (grey, height, width) {
  const border = [];
  for (let x = 0; x < width; x++) border.push(grey[x], grey[(height - 1) * width + x]);
  for (let y = 1; y < height - 1; y++) border.push(grey[y * width], grey[y * width + width - 1]);
  let shade = osr.quantile(border, 0.5);
  if (border.filter((value) => Math.abs(value - shade) > 0.15).length > 0.25 * border.length) { // a photograph
    const side = Math.min(height, width);
    const middle = osr.cut(grey, width, (height - side) >> 1, (width - side) >> 1, side, side);
    return osr.toBytes(osr.resize(middle, side, side, 28, 28));
  }
  if (shade > 0.5) {
    grey = grey.map((value) => 1 - value);
    shade = 1 - shade;
  }
  let ink = grey.map((value) => Math.max(0, value - shade)), most = 0;
  for (const value of ink) most = Math.max(most, value);
  const black = new Uint8Array(784);
  if (most < 0.05) return black;
  // a soft shadow over the page is not a stroke
  const middle = osr.quantile(border, 0.5), faint = 1.2 * osr.quantile(border.map((value) => Math.abs(value - middle)), 0.95);
  ink = ink.map((value) => (value > faint ? value / most : 0));
  let top = height, bottom = -1, left = width, right = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x] > 0.08) {
        top = Math.min(top, y); bottom = Math.max(bottom, y); left = Math.min(left, x); right = Math.max(right, x);
      }
    }
  }
  if (bottom < 0) return black;
  const tall = bottom - top + 1, wide = right - left + 1, scale = 20 / Math.max(tall, wide);
  const newTall = Math.max(1, osr.rint(tall * scale)), newWide = Math.max(1, osr.rint(wide * scale));
  const small = osr.resize(osr.cut(ink, width, top, left, tall, wide), tall, wide, newTall, newWide);
  const rows = new Float64Array(newTall), columns = new Float64Array(newWide);
  small.forEach((value, i) => { rows[Math.floor(i / newWide)] += value; columns[i % newWide] += value; });
  const down = osr.place(rows), over = osr.place(columns), out = new Float32Array(784);
  for (let y = 0; y < newTall; y++) {
    for (let x = 0; x < newWide; x++) out[(down + y) * 28 + over + x] = small[y * newWide + x];
  }
  return osr.toBytes(out);
};

/* Red, green, blue and opacity of a canvas as grey levels; what is transparent lies on paper, dark paper for light ink. */
osr.toGrey = function (pixels) {
  const count = pixels.length / 4, level = new Float64Array(count);
  let sum = 0, inked = 0, clear = false;
  for (let i = 0; i < count; i++) {
    level[i] = (19595 * pixels[4 * i] + 38470 * pixels[4 * i + 1] + 7471 * pixels[4 * i + 2]) / 65536;
    if (pixels[4 * i + 3] > 127) { sum += level[i]; inked++; }
    clear = clear || pixels[4 * i + 3] < 255;
  }
  const paper = clear && inked && sum / inked > 127 ? 0 : 255;
  return level.map((value, i) => (value * pixels[4 * i + 3] + paper * (255 - pixels[4 * i + 3])) / 65025);
};
