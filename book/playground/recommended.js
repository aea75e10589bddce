/* The rule of chapter 8, as osrlib has it: four questions to a code, joined to one score; and its known digits.
 *
 * The build wrote what it needs, rounded: rule.js, and a bank of known codes for each digit. The line was set anew for
 * these rounded numbers, on calibration digits.
 */
"use strict";

osr.CODE = 128; // numbers in a code
osr.NEIGHBOURS = 5;

/* The numbers of rule.js, unpacked. */
osr.opened = (packed) => ({
  network: osr.decode(packed.network),
  gaussian: packed.gaussian.map(({ mean, whiten, volume }) => ({
    mean: osr.floats(mean),
    whiten: osr.unpack(whiten),
    volume,
  })),
  relative: packed.relative.map(({ whiten, centres }) => ({
    whiten: osr.unpack(whiten),
    centres: osr.rows(osr.floats(centres), osr.CODE),
  })),
  parts: packed.parts,
  calibration: osr.floats(packed.calibration),
  line: packed.line,
});

/* The known codes of one digit, from sixteen steps a number, two numbers in a byte: [count · 128]. */
osr.openBank = ({ codes, low, step }) => {
  const [lows, steps, packed] = [osr.floats(low), osr.floats(step), osr.bytes(codes)];
  const bank = new Float32Array(2 * packed.length);
  packed.forEach((byte, i) => {
    const at = (2 * i) % osr.CODE;
    bank[2 * i] = lows[at] + steps[at] * (byte >> 4);
    bank[2 * i + 1] = lows[at + 1] + steps[at + 1] * (byte & 15);
  });
  return bank;
};

/* A long array as rows of equal width, which share its memory. */
osr.rows = (values, width) =>
  Array.from({ length: values.length / width }, (_, i) => values.subarray(i * width, (i + 1) * width));

/* A code, divided by its length: where it lies among known ones. */
osr.placed = (code) => {
  const length = Math.max(Math.hypot(...code), 1e-12);
  return code.map((value) => value / length);
};

/* The known codes of a bank that lie nearest, nearest first: their places in the bank, and how far they are. */
osr.nearestKnown = (place, bank) => {
  const found = Array.from({ length: osr.NEIGHBOURS }, () => ({ at: -1, square: Number.POSITIVE_INFINITY }));
  for (let at = 0; at < bank.length / osr.CODE; at++) {
    let square = 0;
    for (let i = 0, j = at * osr.CODE; i < osr.CODE; i++, j++) square += (place[i] - bank[j]) ** 2;
    if (square >= found[osr.NEIGHBOURS - 1].square) continue;
    found[osr.NEIGHBOURS - 1] = { at, square };
    found.sort((one, other) => one.square - other.square);
  }
  return found.map(({ at, square }) => ({ at, distance: Math.sqrt(square) }));
};

/* ‖(code − centre) · whiten‖², where whiten is an upper triangle, row by row. */
osr.toMean = (code, centre, whiten) => {
  const away = new Float64Array(osr.CODE);
  for (let i = 0; i < osr.CODE; i++) {
    const difference = code[i] - centre[i];
    for (let j = i; j < osr.CODE; j++) away[j] += difference * whiten[i * osr.CODE + j];
  }
  return osr.sum(away.map((value) => value * value));
};

/* The squared Mahalanobis distance to the nearest of several centres, which are whitened already. */
osr.toNearestCentre = (code, { whiten, centres }) => {
  const white = new Float64Array(osr.CODE);
  for (let i = 0; i < osr.CODE; i++) {
    for (let j = i; j < osr.CODE; j++) white[j] += code[i] * whiten[i * osr.CODE + j];
  }
  const squares = centres.map((centre) => osr.sum(white.map((value, i) => (value - centre[i]) ** 2)));
  return Math.min(...squares);
};

/* The four questions, in the order of the rule's parts. */
osr.QUESTIONS = [
  "how far is the nearest known digit?",
  "how improbable is it under each digit's own bell curve?",
  "how much farther is it from its class than from digits as a whole?",
  "how sure is the classifier of any digit at all?",
];

/* What the classifier says of a code, before any bank is asked. */
osr.named = ({ network }, code) => {
  const logits = osr.linear(code, network.head, network["head.bias"]);
  return { code, logits, guess: logits.indexOf(Math.max(...logits)) };
};

/* And of an image: 784 bytes. */
osr.read = (rule, image) => osr.named(rule, osr.encode(rule.network, osr.brightness(image)));

/* The rule's whole answer: label, score, the four parts of it (in units of the score), p-value, nearest known digits. */
osr.decide = (rule, { code, logits, guess }, bank) => {
  const nearest = osr.nearestKnown(osr.placed(code), bank);
  const densities = rule.gaussian.map(({ mean, whiten, volume }) => osr.toMean(code, mean, whiten) + volume);
  const [ofClass, ofAll] = rule.relative.map((one) => osr.toNearestCentre(code, one));
  const values = [nearest[0].distance, Math.min(...densities), ofClass - ofAll, osr.energy(logits)];
  const parts = values.map((value, i) => rule.parts[i][0] * (value - rule.parts[i][1]));
  const score = osr.sum(parts);
  const asStrange = rule.calibration.length - rule.calibration.findLastIndex((known) => known < score) - 1;
  const label = score > rule.line ? "unknown" : guess;
  return { label, guess, score, parts, asStrange, pValue: (asStrange + 1) / (rule.calibration.length + 1), nearest };
};

/* How strange an image is, in words. The p-value counts the image itself among the known ones. */
osr.inWords = ({ label, asStrange, pValue }, { calibration }) => {
  const count = `${asStrange.toLocaleString("en")} of ${calibration.length.toLocaleString("en")} known digits`;
  const strange = `${count} ${asStrange === 1 ? "looks" : "look"} at least as strange (p-value ${pValue.toFixed(pValue < 0.1 ? 4 : 2)})`;
  return label === "unknown" ? `Only ${strange}. Up to 0.01, the rule refuses.` : `${strange}.`;
};
