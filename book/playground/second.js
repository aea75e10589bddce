/* The second answer of the playground: chapter 8's rule, what is behind it, and a walk to a known digit. */
"use strict";

osr.WALK = 6; // pictures of a walk

osr.heading = (text) => osr.el("p", { class: "osr-heading" }, text);

osr.Second = class {
  /* arrived is called when what an answer waits for is here, or does not come. */
  constructor(arrived) {
    this.arrived = arrived;
    this.banks = {}; // known codes, by their digit
    this.coming = {}; // what was asked for, by its file
    this.failures = {}; // and why it did not come
    this.walked = ""; // what the rule said along the last walk
    this.verdict = new osr.Verdict("osr-rule", "The recommended rule, chapter 8");
    this.parts = osr.QUESTIONS.map(() => osr.el("strong"));
    this.faces = Array.from({ length: osr.NEIGHBOURS }, (_, i) => this.face(i));
    this.map = osr.el("div", { class: "osr-map-place" });
    this.agreement = osr.el("p", { class: "osr-small-print" });
    this.walk = osr.el("div", { class: "osr-walk" });
    this.sum = osr.el("strong");
    this.line = osr.el("p", { class: "osr-small-print" });
    const questions = osr.QUESTIONS.map((question, i) => osr.el("li", {}, this.parts[i], ` ${question}`));
    this.element = osr.el(
      "div",
      {},
      osr.heading("Behind the recommended rule"),
      osr.el("p", {}, "The nearest known digits. ", osr.el("span", { class: "osr-hint" }, "Choose one to walk there:")),
      osr.el("div", { class: "osr-faces" }, ...this.faces),
      this.walk,
      this.map,
      osr.el(
        "details",
        {},
        osr.el("summary", {}, "Four questions, one score"),
        osr.el("ul", { class: "osr-parts" }, ...questions, osr.el("li", {}, this.sum, " together")),
        this.line,
      ),
      this.agreement,
    );
  }

  /* What is needed for an answer, and is asked for when it is. */
  fetchRule() {
    return this.once("rule.js", (packed) => this.open(packed));
  }

  /* The known codes of a digit. */
  bank(digit) {
    return this.once(`bank-${digit}.js`, (packed) => {
      this.banks[digit] = osr.openBank(packed);
    });
  }

  /* Fetches a file of the build and lets take open it; once, or again where it failed. */
  once(name, take) {
    this.coming[name] ??= this.load(name, take);
    return this.coming[name];
  }

  async load(name, take) {
    delete this.failures[name];
    try {
      take(await osr.fetched(name));
    } catch (error) {
      this.failures[name] = error.message;
      delete this.coming[name];
    }
    if (this.decision) return;
    if (!this.failures[name]) this.decide();
    this.arrived();
  }

  open(packed) {
    this.rule = osr.opened(packed);
    this.columns = packed.columns; // known digits in a row of their picture
    this.codeMap = new osr.CodeMap(packed.map);
    this.map.replaceChildren(this.codeMap.canvas);
    this.line.textContent =
      "Each number says by how many standard deviations the image is stranger than the average known digit; the last " +
      `three count a quarter. Above ${packed.line.toFixed(2)} together, the image is unknown.`;
    const { same, of, worlds } = packed.agreement;
    this.agreement.textContent =
      `On this page the rule's numbers are rounded, and its line was set anew. Of ${of.toLocaleString("en")} images ` +
      `from ${worlds} worlds, ${same.toLocaleString("en")} get the same label as from the full rule.`;
  }

  face(i) {
    const picture = osr.el("span", { class: "osr-face" });
    const caption = osr.el("span");
    const onclick = () => this.walkTo(i);
    const button = osr.el("button", { type: "button", onclick, disabled: "" }, picture, caption);
    return Object.assign(button, { picture, caption });
  }

  /* Another image, or none. */
  look(image) {
    this.image = image;
    this.said = null;
    this.decision = null;
    this.walked = "";
    this.walk.replaceChildren();
    if (image) this.decide();
  }

  /* As far as it can be said with what is here; what is missing is asked for. */
  decide() {
    if (!this.image) return;
    if (!this.rule) {
      this.fetchRule();
      return;
    }
    this.said ??= osr.read(this.rule, this.image);
    const bank = this.banks[this.said.guess];
    if (bank) this.decision = osr.decide(this.rule, this.said, bank);
    else this.bank(this.said.guess);
  }

  /* nothing: what is to be said where there is no image; strokes: how many were drawn. */
  show(strokes, nothing) {
    const { said, decision } = this;
    this.showVerdict(nothing);
    // where another digit is named, its sheet of images must be unpacked: not while the pen moves
    clearTimeout(this.resting);
    if (decision) this.resting = setTimeout(() => this.showFaces(), osr.PEN_RESTS);
    else this.showFaces();
    this.parts.forEach((part, i) => {
      part.textContent = decision ? decision.parts[i].toFixed(2) : "–";
    });
    this.sum.textContent = decision ? decision.score.toFixed(2) : "–";
    this.codeMap?.show(decision, said && osr.placed(said.code), this.banks[said?.guess], strokes);
  }

  showVerdict(nothing) {
    const { image, rule, said, decision } = this;
    const missing = said ? `bank-${said.guess}.js` : "rule.js";
    if (!image) this.verdict.show(null, "", nothing);
    else if (decision) this.verdict.show(decision.label, osr.inWords(decision, rule));
    else if (this.failures[missing]) this.verdict.show(null, this.failures[missing], "No answer");
    else this.verdict.show(null, "", said ? `fetching the known ${said.guess}s …` : "fetching the rule …");
  }

  showFaces() {
    this.faces.forEach((face, i) => {
      this.showFace(face, this.decision?.nearest[i]);
    });
  }

  showFace(face, neighbour) {
    face.disabled = !neighbour;
    face.picture.style.backgroundImage = neighbour ? `url("${osr.folder}bank-${this.said.guess}.png")` : "none";
    if (neighbour) {
      const [column, row] = [neighbour.at % this.columns, Math.floor(neighbour.at / this.columns)];
      face.picture.style.backgroundPosition = `${-osr.SIDE * column}px ${-osr.SIDE * row}px`;
    }
    face.caption.textContent = neighbour ? neighbour.distance.toFixed(2) : "–";
    face.setAttribute(
      "aria-label",
      neighbour ? `a known ${this.said.guess}, ${face.caption.textContent} away` : "none",
    );
  }

  /* From the drawing's code towards a known one: what the network draws there, and what the rule says of it. */
  async walkTo(i) {
    const { said, decision } = this;
    this.chosen = i;
    const { at } = decision.nearest[i];
    const length = Math.hypot(...said.code); // a bank keeps directions: the walk keeps the drawing's length
    const known = this.banks[said.guess].subarray(at * osr.CODE, (at + 1) * osr.CODE);
    const end = known.map((value) => length * value);
    const codes = Array.from({ length: osr.WALK }, (_, step) => osr.between(said.code, end, step / (osr.WALK - 1)));
    const steps = codes.map((code) => osr.named(this.rule, code));
    const decoder = this.once("walk.js", (packed) => {
      this.decoder = osr.decode(packed);
    });
    await Promise.all([decoder, ...steps.map(({ guess }) => this.bank(guess))]);
    if (decision !== this.decision || this.chosen !== i) return; // something else was chosen in between
    if (this.decoder && steps.every(({ guess }) => this.banks[guess])) this.showWalk(steps);
    else this.sayOfWalk("What the walk needs could not be loaded. Choose again to try once more.");
    this.arrived();
  }

  /* Instead of a walk. */
  sayOfWalk(text) {
    this.walked = text;
    this.walk.replaceChildren(osr.el("p", { class: "osr-message" }, text));
  }

  showWalk(steps) {
    const labels = steps.map((step) => String(osr.decide(this.rule, step, this.banks[step.guess]).label));
    const views = steps.map((step, i) => {
      const view = new osr.View(labels[i], `On the way: ${labels[i]}`);
      const drawing = osr.drawing(this.decoder, step.code).map((value) => 1 / (1 + Math.exp(-value)));
      view.show(osr.enlarge(drawing, 14));
      return view.element;
    });
    this.walked = `The walk: ${labels.join(", ")}.`;
    this.walk.replaceChildren(...views);
  }
};

osr.PEN_RESTS = 100; // milliseconds without a change: then the pen rests

/* A share of the way from one code to another. */
osr.between = (start, end, share) => start.map((value, i) => (1 - share) * value + share * end[i]);
