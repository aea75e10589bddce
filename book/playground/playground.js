/* The playground: a board, a tray of ready images and an upload; whatever is there, the model answers at once. */
"use strict";

/* What the network says of an image, and the report's rule, which refuses it where a distance lies above its line. */
osr.judge = (weights, image, lines) => {
  const said = osr.forward(weights, image);
  const norm = osr.norm(image, said.copy);
  const diff = osr.diff(image, said.copy);
  const guess = said.probabilities.indexOf(Math.max(...said.probabilities));
  const label = norm > lines.norm || diff > lines.diff ? "unknown" : guess;
  return { ...said, norm, diff, guess, label };
};

/* The reason of an answer, as a sentence or two. */
osr.reason = ({ norm, diff, guess, label, probabilities }, lines) => {
  const share = osr.percent(probabilities[guess], 0);
  if (label !== "unknown")
    return `Both distances are below their lines, and the classifier says ${guess}, with ${share}.`;
  const why = [];
  if (norm > lines.norm) {
    const above = `norm ${norm.toFixed(2)} above ${lines.norm.toFixed(2)}`;
    why.push(`the copy is farther from the image than digits are (${above})`);
  }
  if (diff > lines.diff) {
    why.push(`too many pixels change between black and white (diff ${diff} above ${lines.diff.toFixed(0)})`);
  }
  return `Refused: ${why.join(", and ")}. The classifier alone would have said ${guess}, with ${share}.`;
};

/* One distance as a bar, with a slider for its line; moved is called when the line moves. */
osr.Gauge = class {
  constructor(key, lines, moved) {
    const { top, step, decimals } = osr.AXES[key];
    Object.assign(this, { key, top, decimals, lines });
    this.fill = osr.el("span", { class: "osr-fill" });
    this.mark = osr.el("span", { class: "osr-mark" });
    this.value = osr.el("output");
    this.line = osr.el("output");
    const oninput = () => {
      lines[key] = Number(this.slider.value);
      moved();
    };
    const id = `osr-${key}`;
    this.slider = osr.el("input", { type: "range", min: 0, max: top, step, value: lines[key], id, oninput });
    this.element = osr.el(
      "div",
      { class: "osr-gauge" },
      osr.el("div", {}, `${key}: `, this.value),
      osr.el("div", { class: "osr-bar" }, this.fill, this.mark),
      osr.el("label", { for: id }, "refuse above ", this.line),
      this.slider,
    );
  }

  /* value: null where there is no image. */
  show(value) {
    const line = this.lines[this.key];
    const width = (length) => `${Math.min(100, (100 * length) / this.top)}%`;
    this.fill.style.width = width(value ?? 0);
    this.fill.classList.toggle("osr-over", value !== null && value > line);
    this.mark.style.left = width(line);
    this.value.value = value === null ? "–" : value.toFixed(this.decimals);
    this.line.value = line.toFixed(this.decimals);
  }

  /* Where the line was moved from elsewhere. */
  followLine() {
    this.slider.value = this.lines[this.key];
  }
};

/* The probability of each digit as a bar. */
osr.Bars = class {
  constructor() {
    this.bars = Array.from({ length: 10 }, (_, digit) => this.bar(digit));
    const rows = this.bars.map(({ row }) => row);
    this.element = osr.el("ul", { class: "osr-bars", "aria-label": "Probability of each digit" }, ...rows);
  }

  bar(digit) {
    const name = osr.el("span", { class: "osr-digit" }, String(digit));
    const fill = osr.el("span", { class: "osr-fill" });
    const share = osr.el("span", { class: "osr-share" });
    return { fill, share, row: osr.el("li", {}, name, osr.el("span", { class: "osr-bar" }, fill), share) };
  }

  /* said: null where there is no image. */
  show(said) {
    this.bars.forEach(({ fill, share, row }, digit) => {
      const p = said ? said.probabilities[digit] : 0;
      fill.style.width = `${100 * p}%`;
      share.textContent = said ? osr.percent(p, 1) : "";
      row.classList.toggle("osr-best", said !== null && digit === said.guess);
    });
  }
};

/* The image and its copy, grey and in black and white, and where those differ. */
osr.Views = class {
  constructor() {
    this.image = this.view("image", "What the model sees");
    this.copy = this.view("copy", "The copy that it makes");
    this.ink = this.view("image, black and white", "The image in black and white");
    this.copyInk = this.view("copy, black and white", "The copy in black and white");
    this.difference = this.view("difference", "Where they differ");
    const views = [this.image, this.copy, this.ink, this.copyInk, this.difference];
    this.element = osr.el("div", { class: "osr-views" }, ...views.map(({ figure }) => figure));
  }

  view(caption, label) {
    const size = { width: osr.SIDE, height: osr.SIDE };
    const canvas = osr.el("canvas", { ...size, class: "osr-small", role: "img", "aria-label": label });
    return { canvas, figure: osr.el("figure", {}, canvas, osr.el("figcaption", {}, caption)) };
  }

  show(image, copy) {
    const white = (share) => 255 * share;
    const [ink, copyInk] = osr.binarised(image, copy).map((one) => Array.from(one));
    osr.paint(this.image.canvas, image);
    osr.paint(this.copy.canvas, copy.map(white));
    osr.paint(this.ink.canvas, ink.map(white));
    osr.paint(this.copyInk.canvas, copyInk.map(white));
    const change = ink.map((on, i) => on - copyInk[i]);
    osr.paint(this.difference.canvas, change, osr.shadeOfChange);
  }
};

/* White in the image alone: orange. White in the copy alone: sky. */
osr.shadeOfChange = (change) => {
  if (change === 0) return [0, 0, 0];
  return osr.rgb(change > 0 ? osr.PALETTE.orange : osr.PALETTE.sky);
};

/* A row of ready images of one world, packed one after the other; each is a button, which gives its image to take. */
osr.trayRow = (world, packed, take) => {
  const bytes = osr.bytes(packed);
  const length = osr.SIDE ** 2;
  const buttons = Array.from({ length: bytes.length / length }, (_, i) => {
    const image = bytes.slice(length * i, length * (i + 1));
    const face = osr.el("canvas", { width: osr.SIDE, height: osr.SIDE });
    osr.paint(face, image);
    const onclick = () => take(image);
    return osr.el("button", { type: "button", "aria-label": `${world}, number ${i + 1}`, onclick }, face);
  });
  const attributes = { class: "osr-tray", role: "group", "aria-label": world };
  return osr.el("div", attributes, osr.el("span", {}, world), ...buttons);
};

osr.Playground = class {
  constructor(root) {
    this.weights = osr.decode(osr.WEIGHTS);
    this.lines = { ...osr.LINES };
    this.board = new osr.Board(() => this.lookSoon());
    const moved = () => this.answer();
    this.gauges = ["norm", "diff"].map((key) => new osr.Gauge(key, this.lines, moved));
    this.bars = new osr.Bars();
    this.views = new osr.Views();
    this.verdict = osr.el("p", { class: "osr-verdict", role: "status", "aria-live": "polite" });
    this.reason = osr.el("p", { class: "osr-reason" });
    this.message = osr.el("p", { class: "osr-message", role: "alert" });
    for (const [name, colour] of Object.entries(osr.PALETTE)) root.style.setProperty(`--osr-${name}`, colour);
    root.replaceChildren(this.desk(), ...this.tray());
    this.clear();
    this.acceptFiles(root);
  }

  /* Pictures that are dropped here, or pasted. */
  acceptFiles(root) {
    const take = (event, { files }) => {
      if (files.length === 0) return;
      event.preventDefault();
      this.upload(files[0]);
    };
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => take(event, event.dataTransfer));
    document.addEventListener("paste", (event) => take(event, event.clipboardData));
  }

  desk() {
    return osr.el(
      "div",
      { class: "osr-columns osr-desk" },
      osr.el("div", {}, this.board.canvas, this.tools(), this.message),
      osr.el("div", { class: "osr-answer" }, this.verdict, this.reason, ...this.rule(), this.bars.element),
      this.views.element,
    );
  }

  tools() {
    const onchange = (event) => {
      if (event.target.files.length) this.upload(event.target.files[0]);
    };
    const field = osr.el("input", { type: "file", accept: "image/*", onchange });
    return osr.el(
      "div",
      { class: "osr-tools" },
      osr.el("button", { type: "button", onclick: () => this.clear() }, "Clear"),
      osr.el("button", { type: "button", onclick: () => this.board.undo() }, "Undo"),
      osr.el("label", { class: "osr-upload" }, "Upload, drop or paste a picture ", field),
    );
  }

  rule() {
    const onclick = () => {
      Object.assign(this.lines, osr.LINES);
      for (const gauge of this.gauges) gauge.followLine();
      this.answer();
    };
    const button = osr.el("button", { type: "button", onclick }, "Lines of chapter 6");
    return [...this.gauges.map(({ element }) => element), button];
  }

  tray() {
    return Object.entries(osr.TRAY).map(([world, packed]) => osr.trayRow(world, packed, (image) => this.take(image)));
  }

  clear() {
    this.board.clear();
    this.message.textContent = "";
    this.show(null);
  }

  /* Look at what is on the board, once a frame: a pen can move several times in between. */
  lookSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.look();
    });
  }

  look() {
    this.show(this.board.isDot() ? null : this.board.image());
    if (!this.image && this.board.past.length) this.verdict.textContent = "Only a dot so far: draw on.";
  }

  /* A ready image needs no preparation: it goes to the model as it is, and onto the board. */
  take(image) {
    this.message.textContent = "";
    this.board.put(image);
    return this.show(image);
  }

  async upload(file) {
    this.message.textContent = "";
    this.verdict.setAttribute("aria-busy", "true");
    try {
      const label = this.take(await osr.readFile(file));
      if (label === null) throw new Error(`${file.name} holds nothing that differs from its background.`);
    } catch (error) {
      this.message.textContent = error.message;
    }
    this.verdict.setAttribute("aria-busy", "false");
  }

  show(image) {
    this.image = image?.some((value) => value > 0) ? image : null;
    return this.answer();
  }

  /* Everything on the page that follows from image and lines. Returns the label, null where there is no image. */
  answer() {
    const blank = new Uint8Array(osr.SIDE ** 2);
    const said = this.image && osr.judge(this.weights, this.image, this.lines);
    for (const gauge of this.gauges) gauge.show(said?.[gauge.key] ?? null);
    this.bars.show(said);
    this.views.show(this.image ?? blank, said?.copy ?? blank);
    this.tell(said);
    return said?.label ?? null;
  }

  tell(said) {
    if (!said) {
      this.verdict.textContent = "Nothing is drawn yet.";
      this.verdict.className = "osr-verdict";
      this.reason.textContent = "";
      return;
    }
    const refused = said.label === "unknown";
    this.verdict.textContent = refused ? "unknown" : `a ${said.label}`;
    this.verdict.className = `osr-verdict ${refused ? "osr-unknown" : "osr-known"}`;
    this.reason.textContent = osr.reason(said, this.lines);
  }
};

osr.ready = osr.begin("osr-playground", osr.Playground);
