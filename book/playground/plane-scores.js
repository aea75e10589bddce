/* How unknown a place of the plane is: five ways to score what the network says there, and a line that calibration sets.
 *
 * Scores are the book's: larger means more unknown. Each is as in osrlib.scores.
 */
"use strict";

/* One minus the largest softmax probability: of a probability of nearly one, too, all digits. */
osr.doubt = (logits) => {
  const top = osr.largest(logits);
  let others = 0;
  for (let k = 0; k < logits.length; k++) if (k !== top) others += Math.exp(logits[k] - logits[top]);
  return others / (1 + others);
};

/* A logarithm that stays finite. */
osr.logarithm = (value) => Math.log(Math.max(value, 1e-300));

/* One minus the largest of the sigmoids. */
osr.denial = (logits) => 1 / (1 + Math.exp(Math.max(...logits)));

/* The mean of vectors. */
osr.centre = (vectors) => vectors[0].map((_, i) => osr.mean(vectors.map((vector) => vector[i])));

/* The covariance of vectors around the means of their classes, and 1e-6 of the mean variance on its diagonal. */
osr.covariance = (vectors, labels, means) => {
  const rows = Array.from(means[0], () => new Float64Array(means[0].length));
  vectors.forEach((vector, n) => {
    const apart = vector.map((value, i) => value - means[labels[n]][i]);
    rows.forEach((row, i) => {
      for (let j = 0; j < row.length; j++) row[j] += (apart[i] * apart[j]) / vectors.length;
    });
  });
  const ridge = (1e-6 * osr.sum(rows.map((row, i) => row[i]))) / rows.length;
  rows.forEach((row, i) => {
    row[i] += ridge;
  });
  return rows;
};

/* The lower triangular L with L Lᵀ = matrix (Cholesky), as rows. */
osr.cholesky = (matrix) => {
  const lower = matrix.map((row) => new Float64Array(row.length));
  matrix.forEach((row, i) => {
    for (let j = 0; j <= i; j++) {
      let rest = row[j];
      for (let k = 0; k < j; k++) rest -= lower[i][k] * lower[j][k];
      lower[i][j] = i === j ? Math.sqrt(rest) : rest / lower[j][j];
    }
  });
  return lower;
};

/* Puts L⁻¹ vector into solved: row by row, from the first. */
osr.solve = (lower, vector, solved) => {
  for (let i = 0; i < vector.length; i++) {
    let rest = vector[i];
    for (let k = 0; k < i; k++) rest -= lower[i][k] * solved[k];
    solved[i] = rest / lower[i][i];
  }
  return solved;
};

/* The smallest ‖vector − b‖² to the vectors of a bank, which stand one after the other in one list. */
osr.nearest = (vector, bank) => {
  let least = Number.POSITIVE_INFINITY;
  for (let at = 0; at < bank.length; at += vector.length) {
    let sum = 0;
    for (let i = 0; i < vector.length && sum < least; i++) {
      const apart = vector[i] - bank[at + i];
      sum += apart * apart;
    }
    if (sum < least) least = sum;
  }
  return least;
};

/* Several vectors as one list. */
osr.bank = (vectors) => Float64Array.from(vectors.flatMap((vector) => Array.from(vector)));

/* The squared Mahalanobis distance of a code to the nearest class mean; one covariance for all classes. */
osr.mahalanobis = (codes, labels) => {
  const means = osr.PLANE.names.map((_, label) => osr.centre(codes.filter((_, n) => labels[n] === label)));
  const lower = osr.cholesky(osr.covariance(codes, labels, means));
  const white = (code, solved) => osr.solve(lower, code, solved);
  const centres = osr.bank(means.map((mean) => white(mean, mean.slice())));
  const solved = new Float64Array(codes[0].length);
  return (_, code) => osr.nearest(white(code, solved), centres);
};

/* The distance of a code to the nearest known one. */
osr.knn = (codes) => {
  const bank = osr.bank(codes);
  return (_, code) => Math.sqrt(osr.nearest(code, bank));
};

/* The same, after each code was divided by its length: its direction alone counts. */
osr.knnDirection = (codes) => {
  const turned = new Float64Array(codes[0].length);
  const direction = (code) => {
    let length = 0;
    for (const value of code) length += value * value;
    length = Math.max(Math.sqrt(length), 1e-12);
    for (let i = 0; i < code.length; i++) turned[i] = code[i] / length;
    return turned;
  };
  const distance = osr.knn(codes.map((code) => direction(code).slice()));
  return (logits, code) => distance(logits, direction(code));
};

/* The scores to choose from. fit: from the codes and labels of the training points to a function of logits and code;
 * net: the network that is asked; even: what makes the score rise evenly, for lines drawn between places. */
osr.PLANE_SCORES = {
  softmax: {
    name: "softmax",
    told: "One minus the largest softmax probability.",
    fit: () => osr.doubt,
    net: "softmax",
    even: osr.logarithm,
  },
  sigmoids: {
    name: "sigmoids",
    told: "One minus the largest of three sigmoids, of a second network that was trained with these from the same first weights.",
    fit: () => osr.denial,
    net: "sigmoids",
    even: osr.logarithm,
  },
  energy: {
    name: "energy",
    told: "Minus the logarithm of the sum of all exp(logit), of the softmax network.",
    fit: () => osr.energy,
    net: "softmax",
    even: (score) => score,
  },
  mahalanobis: {
    name: "Mahalanobis",
    told: `In the code of the softmax network, the ${osr.PLANE.hidden} numbers of its last hidden layer: how far is the nearest class mean, counted in the spread of the training points?`,
    fit: osr.mahalanobis,
    net: "softmax",
    even: osr.logarithm,
  },
  knn: {
    name: "kNN",
    told: `In the code of the softmax network, the ${osr.PLANE.hidden} numbers of its last hidden layer: how far is the nearest training point?`,
    fit: osr.knn,
    net: "softmax",
    even: (score) => score,
  },
  direction: {
    name: "kNN, direction alone",
    told: "As kNN, but each code is first divided by its length.",
    fit: osr.knnDirection,
    net: "softmax",
    even: (score) => score,
  },
};

/* A score, fitted on training points, and the scores of calibration points, which took no part in the training. */
osr.PlaneRule = class {
  constructor(key, nets, training, calibration) {
    const { fit, net } = osr.PLANE_SCORES[key];
    this.key = key;
    this.net = nets[net];
    const codes = training.map(({ x, y }) => this.net.forward(x, y) && this.net.code.slice());
    const labels = training.map(({ label }) => label);
    this.judge = fit(codes, labels);
    this.known = Float64Array.from(calibration, ({ x, y }) => this.score(x, y)).sort();
  }

  /* Of a place; then guess tells which class is named there. */
  score(x, y) {
    const logits = this.net.forward(x, y);
    return this.judge(logits, this.net.code);
  }

  get guess() {
    return osr.largest(this.net.logits);
  }

  line(alpha) {
    return this.known[osr.rankOfLine(this.known.length, alpha) - 1];
  }

  /* Which share of the calibration points have at least this score. */
  asUnknown(score) {
    let [low, high] = [0, this.known.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.known[middle] < score) low = middle + 1;
      else high = middle;
    }
    return 1 - low / this.known.length;
  }
};

/* What a rule with its line makes of the far plane and of the calibration points. */
osr.farWords = ({ key, known }, { scores, sure }, line) => {
  const accepted = 1 - osr.countAbove(scores, line) / scores.length;
  return (
    `By the score ${osr.PLANE_SCORES[key].name}, ${osr.percent(accepted, 1)} of the far plane is accepted, and ` +
    `${osr.countAbove(known, line)} of ${known.length} calibration points are refused. ` +
    `In ${osr.percent(sure, 1)} of the far plane the largest softmax probability is above 0.99.`
  );
};

/* [0, 0, 2] → "2 as circle, 1 as triangle". */
osr.namesOf = (guesses) =>
  osr.PLANE.names
    .map((name, label) => [guesses.filter((guess) => guess === label).length, name])
    .filter(([count]) => count > 0)
    .map(([count, name]) => `${count} as ${name}`)
    .join(", ");

/* What became of unknown points: the class that each is taken for, undefined where it is refused. */
osr.unknownWords = (verdicts) => {
  const labels = verdicts.filter((label) => label !== undefined);
  const names = labels.length ? ` (${osr.namesOf(labels)})` : "";
  return verdicts.length ? `Unknown points accepted: ${labels.length} of ${verdicts.length}${names}.` : "";
};
