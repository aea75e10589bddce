/* What goes onto the playground's board: strokes of mouse, finger or pen, ready images, uploaded pictures. */
"use strict";

/* A black canvas to draw on; drawn is called after every stroke. */
osr.Board = class {
  size = 280;
  pen = 22;

  constructor(drawn) {
    this.drawn = drawn;
    this.canvas = osr.el("canvas", {
      width: this.size,
      height: this.size,
      class: "osr-board",
      role: "img",
      "aria-label": "Drawing area. Draw with mouse, finger or pen. Without them, choose a ready image below.",
    });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.at = null;
    this.past = []; // what was there before each stroke: [pixels, length drawn]
    this.length = 0; // of all strokes, in pixels
    const start = (point) => {
      this.past.push([this.context.getImageData(0, 0, this.size, this.size), this.length]);
      this.at = point;
      this.stroke(point);
      return true;
    };
    osr.follow(this.canvas, start, (point) => this.stroke(point));
  }

  stroke([x, y]) {
    const { context } = this;
    context.strokeStyle = "#fff";
    context.lineWidth = this.pen;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...this.at);
    context.lineTo(x + 0.01, y); // a line of no length would leave no dot
    context.stroke();
    this.length += Math.hypot(x - this.at[0], y - this.at[1]);
    this.at = [x, y];
    this.drawn();
  }

  /* A touch that leaves no line. */
  isDot() {
    return this.length < this.pen;
  }

  /* Takes the last stroke back. */
  undo() {
    if (this.past.length === 0) return;
    const [pixels, length] = this.past.pop();
    this.context.putImageData(pixels, 0, 0);
    this.length = length;
    this.drawn();
  }

  clear() {
    this.past = [];
    this.length = 0;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.size, this.size);
  }

  /* Puts an image of 28×28 there, to be drawn over. */
  put(image) {
    const small = osr.el("canvas", { width: osr.SIDE, height: osr.SIDE });
    osr.paint(small, image);
    this.clear();
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(small, 0, 0, this.size, this.size);
    this.length = Number.POSITIVE_INFINITY;
  }

  /* What is there, as the network reads it. */
  image() {
    return osr.toMnist(osr.toGrey(this.context.getImageData(0, 0, this.size, this.size)), true);
  }
};

osr.MOST_PIXELS = 80e6; // larger pictures could fill the memory
osr.ENOUGH = 1000; // pixels a side: 28×28 will be left

/* An uploaded file as the network reads it. An Error says, to a reader, what is wrong with the file. */
osr.readFile = async (file) => {
  const picture = await osr.open(file);
  try {
    osr.checkSize(picture, file.name);
    return osr.toMnist(osr.toGrey(osr.pixels(picture)));
  } finally {
    URL.revokeObjectURL(picture.src);
  }
};

/* A file as an image element, whose size is known before its pixels are unpacked. */
osr.open = (file) =>
  new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = () =>
      reject(new Error(`${file.name} cannot be read as an image. The page knows PNG, JPEG, GIF, WebP and SVG.`));
    picture.src = URL.createObjectURL(file);
  });

osr.checkSize = ({ naturalWidth, naturalHeight }, name) => {
  const pixels = naturalWidth * naturalHeight;
  if (pixels === 0) throw new Error(`${name} does not say how large it is.`);
  if (pixels > osr.MOST_PIXELS) {
    throw new Error(`${name} has more than ${osr.MOST_PIXELS / 1e6} million pixels. Choose a smaller picture.`);
  }
};

/* The pixels of an image element, reduced where there are more than enough. */
osr.pixels = (picture) => {
  const scale = Math.min(1, osr.ENOUGH / Math.max(picture.naturalWidth, picture.naturalHeight));
  const width = Math.max(1, Math.round(picture.naturalWidth * scale));
  const height = Math.max(1, Math.round(picture.naturalHeight * scale));
  const context = osr.el("canvas", { width, height }).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
};
