/* What the threshold explorer shows of one image: itself, its copy and the verdict. The build packs the images in dots.js.
 */
"use strict";

/* The images that the page can show, as the build packed them: one of each world in turn, with its two distances. */
osr.unpackDots = (packed, worlds) => {
  const rows = packed.flatMap(({ name, places, guesses, labels, images, copies }) => {
    const world = worlds.find((one) => one.name === name);
    const sheets = { images: osr.sheet(images), copies: osr.sheet(copies) };
    return places.map((place, i) => ({
      ...{ name, place, i, sheets, known: world.known, guess: guesses[i], label: labels[i] },
      ...{ norm: world.norm[place], diff: world.diff[place] },
    }));
  });
  return rows.sort((one, other) => one.i - other.i);
};

/* Images in one column. */
osr.sheet = (png) => osr.el("img", { src: `data:image/png;base64,${png}` });

/* Which distances of an image lie above their lines. */
osr.over = (dot, lines) => Object.keys(lines).filter((key) => dot[key] > lines[key]);

/* What the lines make of an image, in words. */
osr.verdict = (dot, lines) => {
  const { name, known, guess, label, norm, diff } = dot;
  const over = osr.over(dot, lines);
  const measured = `${name}: ${label}. norm ${norm.toFixed(2)}, diff ${diff}.`;
  if (over.length) {
    const above = over.length > 1 ? "norm and diff are above their lines" : `${over[0]} is above its line`;
    return `${measured} Refused, because ${above}. ${known ? "Wrong: it is a digit." : "Right: it is unknown."}`;
  }
  const right = known && String(guess) === label;
  const told = right ? "Right." : `Wrong: it is ${known ? `the digit ${label}` : "unknown"}.`;
  return `${measured} Accepted as the digit ${guess}, because neither is above its line. ${told}`;
};

/* One image and its copy, what the lines make of it, and the three accuracies. */
osr.Look = class {
  constructor(next) {
    const picture = (side, text) => osr.el("canvas", { width: side, height: side, role: "img", "aria-label": text });
    this.image = picture(osr.SIDE, "the image");
    this.copy = picture(osr.SIDE / 2, "the network's copy"); // drawn in blocks of 2×2 pixels
    this.button = osr.el("button", { type: "button", class: "osr-next", onclick: next, disabled: "" }, "Next image");
    this.words = osr.el("p");
    const number = (key) => osr.el("strong", { id: `osr-told-${key}` });
    this.accuracies = { mnist: number("mnist"), ood: number("ood"), total: number("total") };
    const { mnist, ood, total } = this.accuracies;
    const figure = (canvas, text) => osr.el("figure", {}, canvas, osr.el("figcaption", {}, text));
    const pictures = osr.el("div", {}, figure(this.image, "image"), figure(this.copy, "copy"), this.button);
    const told = osr.el(
      "div",
      { role: "status" },
      osr.el("p", {}, "accuracy: MNIST ", mnist, " · OOD ", ood, " · total ", total),
    );
    told.append(this.words);
    this.hint = osr.el("p", { class: "osr-hint" }, "Touch a dot with a ring to see its image.");
    this.element = osr.el("div", {}, this.hint, osr.el("div", { class: "osr-look" }, pictures, told));
  }

  /* Where there are no images to show. */
  fail(text) {
    this.hint.textContent = text;
  }

  /* counted: as osr.count; dot: an image that is shown, or null. */
  show(counted, dot, lines) {
    for (const [key, number] of Object.entries(this.accuracies)) number.textContent = osr.percent(counted[key], 2);
    if (dot) this.words.textContent = osr.verdict(dot, lines);
  }

  paint({ i, sheets }) {
    for (const [canvas, sheet] of [
      [this.image, sheets.images],
      [this.copy, sheets.copies],
    ]) {
      const side = canvas.width;
      const paint = () => canvas.getContext("2d").drawImage(sheet, 0, side * i, side, side, 0, 0, side, side);
      sheet.decode().then(paint);
    }
  }
};
