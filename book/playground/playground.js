/* The playground: a board, a tray of ready images and an upload; whatever is there, two rules answer at once. */
"use strict";

/* What the report's network says of an image, and the two distances. */
osr.look = (weights, image) => {
  const said = osr.forward(weights, image);
  const [ink, copyInk] = osr.binarised(image, said.copy);
  const guess = said.probabilities.indexOf(Math.max(...said.probabilities));
  return { ...said, norm: osr.norm(image, said.copy), diff: osr.diff(ink, copyInk), ink, copyInk, guess };
};

/* And its rule, which refuses where a distance lies above its line. */
osr.judge = (said, lines) => {
  const label = said.norm > lines.norm || said.diff > lines.diff ? "unknown" : said.guess;
  return { ...said, label };
};

/* The reason of the report's answer, in words. */
osr.reason = ({ norm, diff, guess, label, probabilities }, lines) => {
  const share = osr.percent(probabilities[guess], 0);
  if (label !== "unknown") {
    return `The copy is near enough to the drawing: norm and diff are not above their lines. So the classifier is believed: it says ${guess}, with ${share}.`;
  }
  const why = [];
  if (norm > lines.norm) {
    why.push(`is too far from the drawing (norm ${norm.toFixed(2)} above ${osr.shownLine("norm", lines.norm)})`);
  }
  if (diff > lines.diff) {
    why.push(`differs in too many pixels (diff ${diff} above ${osr.shownLine("diff", lines.diff)})`);
  }
  return `Refused: the copy ${why.join(", and ")}. Alone, the classifier would have said ${guess}, with ${share}.`;
};

/* One distance as a bar, with a slider for its line; moved is called when the line moves. */
osr.Gauge = class {
  constructor(key, lines, moved) {
    const { top, step, decimals } = osr.AXES[key];
    Object.assign(this, { key, top, decimals, lines });
    this.fill = osr.el("span", { class: "osr-fill" });
    this.mark = osr.el("span", { class: "osr-mark" });
    this.value = osr.el("span");
    this.line = osr.el("span");
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
      osr.el("label", { for: id }, `refuse where ${key} is above `, this.line),
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
    this.value.textContent = value === null ? "–" : value.toFixed(this.decimals);
    this.line.textContent = osr.shownLine(this.key, line);
    this.slider.setAttribute("aria-valuetext", this.line.textContent);
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

/* A small picture of 28×28 with its caption. */
osr.View = class {
  constructor(caption, label) {
    const size = { width: osr.SIDE, height: osr.SIDE };
    this.canvas = osr.el("canvas", { ...size, class: "osr-small", role: "img", "aria-label": label });
    this.element = osr.el("div", { class: "osr-view" }, this.canvas, osr.el("span", {}, caption));
  }

  /* shares: from 0, black, to 1, white; black where nothing is. */
  show(shares) {
    osr.paint(
      this.canvas,
      Array.from(shares ?? new Uint8Array(osr.SIDE ** 2), (share) => 255 * share),
    );
  }
};

/* The image and its copy in black and white, and where those differ. */
osr.Change = class {
  constructor() {
    this.ink = new osr.View("image", "The image in black and white");
    this.copyInk = new osr.View("copy", "The copy in black and white");
    this.difference = new osr.View("difference", "Where they differ");
    const views = [this.ink, this.copyInk, this.difference].map(({ element }) => element);
    const row = osr.el("div", { class: "osr-tools" }, ...views);
    this.element = osr.el("details", {}, osr.el("summary", {}, "Image and copy in black and white"), row);
  }

  show(said) {
    this.ink.show(said?.ink);
    this.copyInk.show(said?.copyInk);
    const change = Array.from({ length: osr.SIDE ** 2 }, (_, i) => (said ? said.ink[i] - said.copyInk[i] : 0));
    osr.paint(this.difference.canvas, change, osr.shadeOfChange);
  }
};

/* White in the image alone: orange. White in the copy alone: sky. */
osr.shadeOfChange = (change) => {
  if (change === 0) return [0, 0, 0];
  return osr.rgb(change > 0 ? osr.PALETTE.orange : osr.PALETTE.sky);
};

/* A row of ready images of one world, packed one after the other; each is a button, which gives its image to take. */
osr.trayRow = (world, { images, names }, take) => {
  const buttons = osr.rows(osr.bytes(images), osr.SIDE ** 2).map((image, i) => {
    const face = osr.el("canvas", { width: osr.SIDE, height: osr.SIDE });
    osr.paint(face, image);
    const onclick = () => take(image, names[i]);
    return osr.el("button", { type: "button", "aria-label": names[i], title: names[i], onclick }, face);
  });
  const attributes = { class: "osr-tray", role: "group", "aria-label": world };
  return osr.el("div", attributes, osr.el("span", {}, world), ...buttons);
};

/* unknown, a 7, an 8. */
osr.called = (label) => (label === "unknown" ? label : `${label === 8 ? "an" : "a"} ${label}`);

/* What one rule says: its name, its answer, its reason. */
osr.Verdict = class {
  constructor(kind, name) {
    this.name = name;
    this.answer = osr.el("p", { class: "osr-verdict" });
    this.reason = osr.el("p", { class: "osr-reason" });
    const heading = osr.el("p", { class: "osr-name" }, name);
    this.element = osr.el("section", { class: kind, "aria-label": name }, heading, this.answer, this.reason);
  }

  /* label: unknown, a digit, or null where there is none; then answer says why. */
  show(label, reason, answer = osr.called(label)) {
    this.answer.textContent = answer;
    this.answer.className = "osr-verdict";
    if (label !== null) this.answer.classList.add(label === "unknown" ? "osr-unknown" : "osr-known");
    this.reason.textContent = reason;
  }

  get words() {
    return `${this.name}: ${this.answer.textContent}. ${this.reason.textContent}`;
  }
};

osr.Playground = class {
  constructor(root) {
    this.weights = osr.decode(osr.WEIGHTS);
    this.lines = { ...osr.LINES };
    this.board = new osr.Board(() => this.lookSoon());
    const moved = () => this.answer();
    this.gauges = ["norm", "diff"].map((key) => new osr.Gauge(key, this.lines, moved));
    this.bars = new osr.Bars();
    this.image28 = new osr.View("what the networks see", "The image that the networks see");
    this.copy = new osr.View("the copy", "The copy that the report's network makes");
    this.change = new osr.Change();
    this.verdict = new osr.Verdict("osr-report", "The report's rule");
    this.second = new osr.Second(moved);
    this.prediction = new osr.Prediction(moved);
    this.heard = osr.el("p", { class: "osr-heard", role: "status" });
    this.message = osr.el("p", { class: "osr-message" });
    this.turn = 0; // counts what was put on the board: an upload that comes later than the next is left
    for (const [name, colour] of Object.entries(osr.PALETTE)) root.style.setProperty(`--osr-${name}`, colour);
    root.replaceChildren(this.desk(), this.prediction.element, this.more(), ...this.tray(), this.heard);
    this.clear();
    this.acceptFiles();
    this.root = root;
    osr.redrawn(() => this.second.codeMap?.paint());
  }

  /* Pictures that are dropped or pasted. Anywhere: the browser would open what misses the board, and leave the page. */
  acceptFiles() {
    const take = (event, { files }) => {
      if (files.length === 0) return;
      event.preventDefault();
      this.upload(files[0]);
    };
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => take(event, event.dataTransfer));
    document.addEventListener("paste", (event) => take(event, event.clipboardData));
  }

  /* The board, beside it what networks see of it, and both answers: all on one screen of a phone. */
  desk() {
    return osr.el(
      "div",
      { class: "osr-desk" },
      this.board.canvas,
      osr.el("div", { class: "osr-views" }, this.image28.element, this.copy.element),
      osr.el("div", { class: "osr-answer" }, this.verdict.element, this.second.verdict.element),
      this.tools(),
    );
  }

  tools() {
    const onchange = (event) => {
      if (event.target.files.length) this.upload(event.target.files[0]);
      event.target.value = ""; // so that the same file can be chosen again
    };
    const field = osr.el("input", { type: "file", accept: "image/*", onchange });
    return osr.el(
      "div",
      { class: "osr-tools" },
      osr.el("button", { type: "button", onclick: () => this.clear() }, "Clear"),
      osr.el("button", { type: "button", onclick: () => this.board.undo() }, "Undo"),
      osr.el("label", { class: "osr-upload" }, "Upload, drop or paste a picture ", field),
      this.message,
    );
  }

  /* What is behind either answer. */
  more() {
    const onclick = () => {
      Object.assign(this.lines, osr.LINES);
      for (const gauge of this.gauges) gauge.followLine();
      this.answer();
    };
    const button = osr.el("button", { type: "button", onclick }, "Lines of chapter 6");
    const gauges = this.gauges.map(({ element }) => element);
    const alone = osr.el("details", {}, osr.el("summary", {}, "What its classifier says alone"), this.bars.element);
    const report = osr.el(
      "div",
      {},
      osr.heading("Behind the report's rule"),
      ...gauges,
      button,
      this.change.element,
      alone,
    );
    this.behind = osr.el("div", { class: "osr-columns" }, report, this.second.element);
    return this.behind;
  }

  tray() {
    return Object.entries(osr.TRAY).map(([world, some]) => osr.trayRow(world, some, (...one) => this.take(...one)));
  }

  clear() {
    this.board.clear();
    this.show(null, "");
  }

  /* Look at what is on the board, once a frame: a pen can move several times in between. */
  lookSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.show(this.board.isDot() ? null : this.board.image(), this.board.name);
    });
  }

  /* A ready image needs no preparation: it goes to the networks as it is, and onto the board. */
  take(image, name) {
    this.board.put(image, name);
    this.show(image, name);
  }

  async upload(file) {
    const turn = ++this.turn;
    this.root.setAttribute("aria-busy", "true");
    try {
      const image = await osr.readFile(file);
      if (turn === this.turn) this.take(image, file.name);
      if (!image.some((value) => value > 0))
        throw new Error(`${file.name} holds nothing that differs from its background.`);
    } catch (error) {
      this.message.textContent = error.message;
      this.sayLater();
    }
    this.root.setAttribute("aria-busy", "false");
  }

  show(image, name) {
    this.turn++;
    this.message.textContent = "";
    this.image = image?.some((value) => value > 0) ? image : null;
    this.name = name;
    this.said = this.image && osr.look(this.weights, this.image);
    this.second.look(this.image);
    this.prediction.close(this.image !== null);
    this.answer();
  }

  /* Everything on the page that follows from what the networks said, and from the lines. */
  answer() {
    const nothing = this.board.strokes.length ? "Only a dot so far: draw on." : "Nothing is drawn yet.";
    const said = this.said && osr.judge(this.said, this.lines);
    this.showReport(said, nothing);
    this.second.show(this.board.strokes.length, nothing);
    const isCovered = said !== null && this.prediction.covers;
    this.behind.classList.toggle("osr-covered", isCovered);
    if (isCovered) this.cover();
    else if (said && this.second.decision) this.note(said, this.second.decision);
    this.sayLater();
  }

  /* said: null where there is no image; nothing: what is said then. */
  showReport(said, nothing) {
    for (const gauge of this.gauges) gauge.show(said?.[gauge.key] ?? null);
    this.bars.show(said);
    this.image28.show(said && osr.brightness(this.image));
    this.copy.show(said?.copy);
    this.change.show(said);
    if (said) this.verdict.show(said.label, osr.reason(said, this.lines));
    else this.verdict.show(null, "", nothing);
  }

  /* Both answers, until they are predicted. */
  cover() {
    this.copy.show(null);
    for (const verdict of [this.verdict, this.second.verdict]) {
      verdict.show(null, "Both lists are below the board.", "Your prediction first");
    }
  }

  /* Into the log, if a prediction was made. */
  note({ label, norm, diff }, decision) {
    const lines = { norm_line: this.lines.norm.toFixed(2), diff_line: osr.shownLine("diff", this.lines.diff) };
    const measured = { norm: norm.toFixed(2), diff, ...lines, p_value: decision.pValue.toFixed(4) };
    const said = { report: String(label), rule: String(decision.label) };
    this.prediction.tell(said, { picture: this.name, ...measured });
  }

  /* For those who hear the page: both answers, when the hand rests. */
  sayLater() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      const said = `${this.verdict.words} ${this.second.verdict.words} ${this.second.walked}`;
      this.heard.textContent = this.message.textContent || said;
    }, 500);
  }
};

osr.ready = osr.begin("osr-playground", osr.Playground);
