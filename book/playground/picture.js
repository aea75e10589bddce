/* Any picture in MNIST's format, as Python's to_mnist has it for a clean page: what is drawn or uploaded passes here.
 *
 * A picture is { grey, height, width }: grey levels, row by row, in [0, 1] where nothing else is said.
 */
"use strict";

osr.BOX = 20; // a digit of MNIST fits into a box of 20×20 pixels,
osr.CENTRE = 14.5; // and has its centre of mass so far from the edges
osr.EVEN = 0.15; // shares of full contrast: what counts as one shade,
osr.FAINT = 0.08; // and what as a stroke

/* A picture as 784 bytes, bright on black; all black where nothing was drawn. isDrawing: where that is known. */
osr.toMnist = (picture, isDrawing = false) => {
  const border = osr.border(picture);
  if (!isDrawing && osr.isPhotograph(border))
    return osr.toBytes(osr.resize(osr.middleSquare(picture), osr.SIDE, osr.SIDE));
  const ink = osr.ink(picture, isDrawing ? [0] : border); // the board is black, however much of its rim is drawn on
  const box = osr.boxAround(ink);
  return box ? osr.toBytes(osr.centred(osr.fitted(osr.cut(ink, box)))) : new Uint8Array(osr.SIDE ** 2);
};

/* The grey levels all around. */
osr.border = ({ grey, height, width }) => {
  const border = [];
  for (let x = 0; x < width; x++) border.push(grey[x], grey[(height - 1) * width + x]);
  for (let y = 1; y < height - 1; y++) border.push(grey[y * width], grey[(y + 1) * width - 1]);
  return border;
};

/* A drawing has one shade all around, a photograph has not. */
osr.isPhotograph = (border) => osr.distances(border).filter((away) => away > osr.EVEN).length > 0.25 * border.length;

/* How far each value is from their median. */
osr.distances = (values) => {
  const median = osr.quantile(values, 0.5);
  return values.map((value) => Math.abs(value - median));
};

/* What was drawn: the shade of the border becomes 0, the strongest stroke 1. */
osr.ink = ({ grey, height, width }, border) => {
  const paper = osr.quantile(border, 0.5);
  const level = (value) => (paper > 0.5 ? 1 - value : value); // dark strokes on light paper, turned
  const ink = grey.map((value) => Math.max(0, level(value) - level(paper)));
  const most = osr.strongest(ink);
  const soft = osr.distances(border).filter((away) => away <= osr.EVEN); // what is farther is a stroke over the edge
  const shadow = 1.2 * (osr.quantile(soft, 0.95) || 0); // a soft shadow over the page is not a stroke
  const isDrawn = (value) => most >= 0.05 && value > shadow;
  return { grey: ink.map((value) => (isDrawn(value) ? Math.min(1, value / most) : 0)), height, width };
};

/* The mean of the largest thousandth. */
osr.strongest = (ink) => {
  const count = Math.max(1, Math.floor(ink.length / 1000));
  const most = ink.reduce((one, other) => Math.max(one, other));
  if (ink.reduce((found, value) => found + (value === most), 0) >= count) return most; // without sorting all of them
  return osr.sum(Float64Array.from(ink).sort().slice(-count)) / count;
};

/* The smallest box around all strokes, null where there are none. */
osr.boxAround = ({ grey, height, width }) => {
  let [top, bottom, left, right] = [height, -1, width, -1];
  grey.forEach((value, i) => {
    if (value <= osr.FAINT) return;
    const y = Math.floor(i / width);
    const x = i % width;
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
  });
  return bottom < 0 ? null : { top, left, height: bottom - top + 1, width: right - left + 1 };
};

osr.middleSquare = (picture) => {
  const side = Math.min(picture.height, picture.width);
  const [top, left] = [(picture.height - side) >> 1, (picture.width - side) >> 1];
  return osr.cut(picture, { top, left, height: side, width: side });
};

osr.cut = (picture, { top, left, height, width }) => {
  const grey = new Float64Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) grey[y * width + x] = picture.grey[(top + y) * picture.width + left + x];
  }
  return { grey, height, width };
};

/* Scaled to fit MNIST's box. */
osr.fitted = (picture) => {
  const scale = osr.BOX / Math.max(picture.height, picture.width);
  const scaled = (length) => Math.max(1, osr.rint(length * scale));
  return osr.resize(picture, scaled(picture.height), scaled(picture.width));
};

/* On 28×28, black, where the centre of mass falls into the middle. */
osr.centred = ({ grey, height, width }) => {
  const rows = new Float64Array(height);
  const columns = new Float64Array(width);
  grey.forEach((value, i) => {
    rows[Math.floor(i / width)] += value;
    columns[i % width] += value;
  });
  const [top, left] = [osr.place(rows), osr.place(columns)];
  const out = new Float32Array(osr.SIDE ** 2);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) out[(top + y) * osr.SIDE + left + x] = grey[y * width + x];
  }
  return { grey: out, height: osr.SIDE, width: osr.SIDE };
};

/* Where rows (or columns) of this mass start, so that their centre lies in the middle and all of them inside. */
osr.place = (mass) => {
  const centre = osr.sum(mass.map((value, i) => (i + 0.5) * value)) / osr.sum(mass);
  return Math.min(osr.SIDE - mass.length, Math.max(0, osr.rint(osr.CENTRE - centre)));
};

/* Another size, as Pillow's BILINEAR: first all rows, then all columns. */
osr.resize = (picture, height, width) => osr.turned(osr.resizeRows(osr.turned(osr.resizeRows(picture, width)), height));

osr.resizeRows = ({ grey, height, width }, newWidth) => {
  const means = osr.triangles(width, newWidth);
  const out = new Float32Array(height * newWidth);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      const { first, weights } = means[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * grey[y * width + first + k];
      out[y * newWidth + x] = sum;
    }
  }
  return { grey: out, height, width: newWidth };
};

/* How a row is scaled: each new pixel is a mean of old ones, from first on, with weights that form a triangle. */
osr.triangles = (length, newLength) => {
  const scale = length / newLength;
  const reach = Math.max(scale, 1);
  return Array.from({ length: newLength }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(length, Math.trunc(centre + reach + 0.5));
    const away = (k) => Math.abs((first + k + 0.5 - centre) / reach);
    const heights = Array.from({ length: end - first }, (_, k) => Math.max(0, 1 - away(k)));
    const sum = osr.sum(heights);
    return { first, weights: heights.map((height) => height / sum) };
  });
};

/* Rows become columns. */
osr.turned = ({ grey, height, width }) => ({
  grey: grey.map((_, i) => grey[(i % height) * width + Math.floor(i / height)]),
  height: width,
  width: height,
});

osr.toBytes = ({ grey }) => Uint8Array.from(grey, (value) => Math.min(255, Math.max(0, osr.rint(255 * value))));

/* To the nearest whole number, halves to the even one, as Python rounds. */
osr.rint = (x) => {
  const nearest = Math.round(x);
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
};

/* The pixels of a canvas, four bytes each (red, green, blue, opacity), as a picture: what is transparent lies on paper. */
osr.toGrey = ({ data, height, width }) => {
  const light = new Float64Array(height * width).map((_, i) => osr.light(data, 4 * i));
  const opacity = new Uint8Array(height * width).map((_, i) => data[4 * i + 3]);
  const paper = osr.paper(light, opacity);
  const mixed = (value, i) => value * opacity[i] + paper * (255 - opacity[i]);
  return { grey: light.map((value, i) => mixed(value, i) / 255 ** 2), height, width };
};

/* How light the red, green and blue at a place are to the eye, from 0 to 255, as Pillow counts. */
osr.light = (data, at) => (19595 * data[at] + 38470 * data[at + 1] + 7471 * data[at + 2]) / 65536;

/* Dark paper (0) for light ink, else white (255). */
osr.paper = (light, opacity) => {
  if (opacity.every((value) => value === 255)) return 255; // and none of it is seen
  const ink = light.filter((_, i) => opacity[i] > 127);
  return osr.sum(ink) > 127 * ink.length ? 0 : 255;
};
