/* What goes onto the playground's board: strokes of mouse, finger or pen, ready images, uploaded pictures. */
"use strict";

/* A black canvas to draw on; drawn is called after every stretch of a stroke. */
osr.Board = class {
  size = 280;
  read = 140;
  pen = 22;

  constructor(drawn) {
    this.drawn = drawn;
    const scale = Math.min(3, globalThis.devicePixelRatio || 1); // as sharp as the screen
    this.canvas = osr.el("canvas", {
      width: this.size * scale,
      height: this.size * scale,
      class: "osr-board",
      role: "img",
      "aria-label": "Drawing area. Draw with mouse, finger or pen. Without them, choose a ready image below.",
    });
    const shown = this.canvas.getContext("2d");
    shown.scale(scale, scale);
    const read = osr.el("canvas", { width: this.read, height: this.read }); // what the network reads: coarser, for speed
    this.reading = read.getContext("2d", { willReadFrequently: true });
    this.reading.scale(this.read / this.size, this.read / this.size);
    this.contexts = [shown, this.reading];
    this.past = []; // what was there before each stroke, each ready image, each time that the board was cleared
    this.lay({ strokes: [], picture: null, name: "" });
    const inside = ([x, y]) => [x / scale, y / scale];
    const start = (point) => {
      this.keep();
      this.stroke = [inside(point)];
      this.strokes.push(this.stroke);
      this.name = "drawing";
      this.goOn(inside(point));
      return true;
    };
    osr.follow(this.canvas, start, (point) => this.goOn(inside(point)));
  }

  goOn(point) {
    if (!this.stroke) return; // the board was changed under the pen
    this.line(this.stroke.at(-1), point);
    this.stroke.push(point);
    this.drawn();
  }

  line(from, [x, y]) {
    for (const context of this.contexts) {
      context.strokeStyle = "#fff";
      context.lineWidth = this.pen;
      context.lineCap = "round";
      context.lineJoin = "round";
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(x + 0.01, y); // a line of no length would leave no dot
      context.stroke();
    }
  }

  /* A touch that leaves no line. */
  isDot() {
    const lengths = this.strokes.map((stroke) =>
      osr.sum(stroke.slice(1).map(([x, y], i) => Math.hypot(x - stroke[i][0], y - stroke[i][1]))),
    );
    return !this.picture && osr.sum(lengths) < this.pen;
  }

  keep() {
    const { strokes, picture, name } = this;
    this.past.push({ strokes: [...strokes], picture, name });
  }

  /* Takes back what was done last. */
  undo() {
    if (this.past.length) this.lay(this.past.pop());
    this.drawn();
  }

  clear() {
    this.keep();
    this.lay({ strokes: [], picture: null, name: "" });
  }

  /* Puts an image of 28×28 there, to be drawn over. name: what it is called as long as nobody does. */
  put(image, name) {
    this.keep();
    this.lay({ strokes: [], picture: image, name });
  }

  /* The board from anew. strokes: each a list of points; picture: the ready image below them, or null. */
  lay({ strokes, picture, name }) {
    Object.assign(this, { strokes, picture, name, stroke: null });
    const small = osr.el("canvas", { width: osr.SIDE, height: osr.SIDE });
    osr.paint(small, picture ?? new Uint8Array(osr.SIDE ** 2));
    for (const context of this.contexts) {
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, this.size, this.size);
    }
    for (const stroke of strokes) {
      for (let i = 1; i < stroke.length; i++) this.line(stroke[i - 1], stroke[i]);
    }
  }

  /* What is there, as the network reads it. A ready image that nobody drew on is read as it is. */
  image() {
    if (this.picture && this.strokes.length === 0) return this.picture;
    const { data, height, width } = this.reading.getImageData(0, 0, this.read, this.read);
    const grey = new Float64Array(height * width).map((_, i) => data[4 * i] / 255); // as much red as green and blue
    return osr.toMnist({ grey, height, width }, true);
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
    picture.onerror = () => {
      URL.revokeObjectURL(picture.src);
      reject(new Error(`${file.name} cannot be read as an image. The page knows PNG, JPEG, GIF, WebP and SVG.`));
    };
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
