/* The second answer of the playground: chapter 8's rule, what is behind it, and a walk to a known digit. */
"use strict";

osr.WALK = 6; // pictures of a walk

osr.heading = (text) => osr.el("p", { class: "osr-heading" }, text);

osr.Second = class {
  /* arrived is called when something that an answer waited for is here. */
  constructor(arrived) {
    this.arrived = arrived;
    this.banks = {}; // known codes, by their digit
    this.coming = {}; // and what was asked for
    this.verdict = new osr.Verdict("osr-rule", "The recommended rule, chapter 8");
    this.parts = osr.QUESTIONS.map(() => osr.el("output"));
    this.faces = Array.from({ length: osr.NEIGHBOURS }, (_, i) => this.face(i));
    this.map = osr.el("div", { class: "osr-map-place" });
    this.agreement = osr.el("p", { class: "osr-small-print" });
    this.walk = osr.el("div", { class: "osr-walk" });
    const questions = osr.QUESTIONS.map((question, i) => osr.el("li", {}, this.parts[i], ` ${question}`));
    this.element = osr.el(
      "div",
      {},
      osr.heading("Behind the recommended rule"),
      osr.el("p", {}, "The nearest known digits. Choose one to walk there:"),
      osr.el("div", { class: "osr-faces" }, ...this.faces),
      this.walk,
      this.map,
      osr.el(
        "details",
        {},
        osr.el("summary", {}, "Four questions, one score"),
        osr.el("ul", { class: "osr-parts" }, ...questions),
      ),
      this.agreement,
    );
  }

  /* What the rule needs, fetched when there is something to decide. */
  fetchRule() {
    this.coming.rule ??= this.once("rule", "rule.js", (packed) => this.open(packed));
    return this.coming.rule;
  }

  open(packed) {
    this.rule = osr.opened(packed);
    this.codeMap = new osr.CodeMap(packed.map);
    this.map.replaceChildren(this.codeMap.canvas);
    const { same, of, worlds } = packed.agreement;
    this.agreement.textContent =
      `On this page the rule's numbers are rounded, and its line was set anew. Of ${of.toLocaleString("en")} images ` +
      `from ${worlds} worlds, ${same.toLocaleString("en")} get the same label as from the full rule.`;
  }

  /* Fetches a file of the build and lets take open it; then whoever waits for an answer gets one. Did it come? */
  async load(name, take) {
    try {
      take(await osr.fetched(name));
    } catch (error) {
      this.verdict.show(null, error.message, "No answer");
      return false;
    }
    if (!this.decision) this.arrived();
    return true;
  }

  face(i) {
    const picture = osr.el("span", { class: "osr-face" });
    const caption = osr.el("span");
    const onclick = () => this.walkTo(i);
    const button = osr.el("button", { type: "button", onclick, disabled: "" }, picture, caption);
    return Object.assign(button, { picture, caption });
  }

  /* The rule's answer to an image, or what it is waiting for; nothing: what is to be said where there is no image. */
  show(image, strokes, nothing) {
    this.decision = null;
    this.said = image && this.rule ? osr.read(this.rule, image) : null;
    this.walk.replaceChildren();
    if (!image) this.verdict.show(null, "", nothing);
    else if (this.said) this.decide();
    else this.wait();
    const { said, decision } = this;
    this.faces.forEach((face, i) => {
      this.showFace(face, decision?.nearest[i]);
    });
    this.parts.forEach((part, i) => {
      part.value = decision ? decision.parts[i].toFixed(2) : "–";
    });
    this.codeMap?.show(decision, said && osr.placed(said.code), this.banks[said?.guess], strokes);
  }

  wait() {
    this.verdict.show(null, "", "fetching the rule …");
    this.fetchRule();
  }

  decide() {
    const { guess } = this.said;
    const bank = this.banks[guess];
    if (bank) {
      this.decision = osr.decide(this.rule, this.said, bank);
      this.verdict.show(this.decision.label, osr.inWords(this.decision, this.rule));
      return;
    }
    this.verdict.show(null, "", `fetching the known ${guess}s …`);
    this.bank(guess);
  }

  /* The known codes of a digit. */
  bank(digit) {
    this.coming[digit] ??= this.once(digit, `bank-${digit}.js`, (packed) => {
      this.banks[digit] = osr.openBank(packed);
    });
    return this.coming[digit];
  }

  /* As load, and ready to be asked for again where it failed. */
  async once(key, name, take) {
    const isHere = await this.load(name, take);
    if (!isHere) delete this.coming[key];
    return isHere;
  }

  showFace(face, neighbour) {
    face.disabled = !neighbour;
    face.picture.style.backgroundImage = neighbour ? `url("${osr.folder}bank-${this.said.guess}.png")` : "none";
    if (neighbour) {
      const [column, row] = [neighbour.at % 64, Math.floor(neighbour.at / 64)];
      face.picture.style.backgroundPosition = `${-osr.SIDE * column}px ${-osr.SIDE * row}px`;
    }
    face.caption.textContent = neighbour ? neighbour.distance.toFixed(2) : "–";
    face.setAttribute(
      "aria-label",
      neighbour ? `a known ${this.said.guess}, ${face.caption.textContent} away` : "none",
    );
  }

  /* From the drawing's code to a known one, as the network draws what lies between, and what the rule says of it. */
  async walkTo(i) {
    const { said, decision } = this;
    const { at } = decision.nearest[i];
    const length = Math.hypot(...said.code); // a bank keeps directions: the walk keeps the drawing's length
    const known = this.banks[said.guess].subarray(at * osr.CODE, (at + 1) * osr.CODE);
    const end = known.map((value) => length * value);
    const codes = Array.from({ length: osr.WALK }, (_, step) => osr.between(said.code, end, step / (osr.WALK - 1)));
    const steps = codes.map((code) => osr.named(this.rule, code));
    const [decoder] = await Promise.all([
      osr.fetched("walk.js").catch(() => null),
      ...steps.map(({ guess }) => this.bank(guess)),
    ]);
    const isReady = decoder && steps.every(({ guess }) => this.banks[guess]);
    if (decision !== this.decision || !isReady) return; // another picture came in between, or something did not come
    this.decoder ??= osr.decode(decoder);
    this.walk.replaceChildren(...steps.map((step) => this.step(step)));
  }

  step(said) {
    const { label } = osr.decide(this.rule, said, this.banks[said.guess]);
    const view = new osr.View(String(label), `On the way: ${label}`);
    const drawing = osr.drawing(this.decoder, said.code).map((value) => 1 / (1 + Math.exp(-value)));
    view.show(osr.enlarge(drawing, 14));
    return view.element;
  }
};

/* A share of the way from one code to another. */
osr.between = (start, end, share) => start.map((value, i) => (1 - share) * value + share * end[i]);
