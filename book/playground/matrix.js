/* The covered matrix of chapter 8: guess the world that each score refuses least, and uncover its row.
 *
 * The chapter's run writes the numbers into the page, as JSON: scores (a row each), worlds (a column each), refused (whole
 * per cents), colours (of 0 to 100 %, as in the figure) and frame (the figure's colour of what is weakest).
 */
"use strict";

osr.GUESSED = 3; // guesses, before the rest may be uncovered at once

/* The places of the smallest value of a row: one, or several where they tie. */
osr.weakest = (row) => {
  const least = Math.min(...row);
  return row.flatMap((value, i) => (value === least ? [i] : []));
};

/* How many of these rows a reader gets right on average who guesses at random. */
osr.byChance = (rows) => osr.sum(rows.map((row) => osr.weakest(row).length / row.length));

/* Black or white: which of the two can be read better on a colour, by the contrast of WCAG. */
osr.inkOn = (colour) => {
  const linear = osr.rgb(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return luminance > 0.179 ? "#000000" : "#ffffff";
};

/* "noise", "noise and faint", "noise, faint and empty" */
osr.list = (names) => new Intl.ListFormat("en-GB").format(names);

/* What has been guessed and uncovered, and how often the guess was right. */
osr.Guesses = class {
  constructor(rows) {
    this.rows = rows;
    this.guessed = new Map(); // row → column
    this.open = new Set(); // rows
  }

  guess(row, column) {
    if (this.open.has(row)) return;
    this.guessed.set(row, column);
    this.open.add(row);
  }

  openAll() {
    this.rows.forEach((_, row) => {
      this.open.add(row);
    });
  }

  isRight(row) {
    return osr.weakest(this.rows[row]).includes(this.guessed.get(row));
  }

  get isOver() {
    return this.open.size === this.rows.length;
  }

  /* How many guesses there were, how many of them were right, and how many would be by chance. */
  get count() {
    const made = [...this.guessed.keys()];
    const right = made.filter((row) => this.isRight(row)).length;
    return { made: made.length, right, byChance: osr.byChance(made.map((row) => this.rows[row])) };
  }
};

osr.hiddenText = (text) => osr.el("span", { class: "visually-hidden" }, text);

osr.ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

osr.CoveredMatrix = class {
  constructor(root) {
    Object.assign(this, JSON.parse(document.getElementById("osr-matrix-data").textContent));
    root.style.setProperty("--osr-frame", this.frame);
    this.body = osr.el("tbody", { onkeydown: (event) => this.walk(event) });
    this.told = osr.el("p", { role: "status" });
    const button = (text, onclick) => osr.el("button", { type: "button", onclick }, text);
    this.figure = button("", () => this.showFigure(!this.isFigureShown));
    this.rest = button("Uncover all", () => this.uncoverAll());
    this.again = button("Cover again", () => this.cover(true));
    root.replaceChildren(
      osr.el(
        "p",
        { class: "osr-hint" },
        "In each row, choose the world that you expect this score to refuse least. Then the row is uncovered. By " +
          "keyboard: arrows go from cell to cell, Enter chooses. Until all is uncovered, the figure with all numbers " +
          "is hidden.",
      ),
      this.told,
      this.table(),
      osr.el("div", { class: "osr-tools" }, this.rest, this.again, this.figure),
    );
    this.cover(false);
    this.follow();
    window.addEventListener("hashchange", () => this.follow());
    document.addEventListener("click", (event) => {
      if (event.target.closest('a[href$="#fig-matrix"]')) this.showFigure(true); // else the link would lead nowhere
    });
  }

  /* Shows the figure to who asked for it in the page's address. */
  follow() {
    if (window.location.hash !== "#fig-matrix") return;
    this.showFigure(true);
    document.getElementById("fig-matrix").scrollIntoView();
  }

  /* The table in a box of its own, in which it scrolls where the screen is narrow. */
  table() {
    const head = this.worlds.map((world) => osr.el("th", { scope: "col" }, world));
    const caption =
      "Refused, in per cent, where 1\u00a0% of the digits are. The darker, the less; framed: the score's weakest " +
      "world; ✓ or ✗: your guess.";
    return osr.el(
      "div",
      { class: "osr-matrix-box", role: "region", "aria-label": "Scores and worlds", tabindex: 0 },
      osr.el(
        "table",
        {},
        osr.el("caption", {}, caption),
        osr.el("thead", {}, osr.el("tr", {}, osr.el("th", { scope: "col" }, "score"), ...head)),
        this.body,
      ),
    );
  }

  /* Begins anew, with every row covered. */
  cover(takesFocus) {
    this.guesses = new osr.Guesses(this.refused);
    this.body.replaceChildren(
      ...this.scores.map((score, row) => {
        const cells = this.worlds.map((world, column) => {
          const onclick = () => this.choose(row, column);
          const label = `${score}: ${world}`;
          return osr.el(
            "td",
            {},
            osr.el("button", { type: "button", tabindex: -1, "aria-label": label, onclick }, "?"),
          );
        });
        return osr.el("tr", {}, osr.el("th", { scope: "row" }, score), ...cells);
      }),
    );
    this.button(0, 0).tabIndex = 0;
    if (takesFocus) this.button(0, 0).focus();
    this.showFigure(false);
    this.tell("No row is uncovered yet.");
  }

  /* The button in a covered cell. */
  button(row, column) {
    return this.body.rows[row]?.cells[column + 1]?.querySelector("button");
  }

  /* Arrow keys go to the next covered cell in their direction. */
  walk(event) {
    const [down, right] = osr.ARROWS[event.key] ?? [0, 0];
    const cell = event.target.closest("td");
    if (!cell || (down === 0 && right === 0)) return;
    event.preventDefault();
    let [row, column] = [cell.parentElement.sectionRowIndex + down, cell.cellIndex - 1 + right];
    while (down !== 0 && this.guesses.open.has(row)) row += down;
    this.goTo(this.button(row, column));
  }

  /* Gives a button the focus, and makes it the one that the tab key leads to. */
  goTo(button) {
    if (!button) return;
    for (const other of this.body.querySelectorAll("button")) other.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  }

  choose(row, column) {
    this.guesses.guess(row, column);
    this.uncover(row);
    const covered = [...this.scores.keys()].filter((one) => !this.guesses.open.has(one));
    const next = covered.find((one) => one > row) ?? covered.at(-1);
    if (this.guesses.isOver) this.showFigure(true);
    this.tell(this.verdict(row, column));
    if (next === undefined) this.again.focus();
    else this.goTo(this.button(next, column));
  }

  uncoverAll() {
    this.guesses.openAll();
    this.scores.forEach((_, row) => {
      this.uncover(row);
    });
    this.showFigure(true);
    this.tell("");
    this.again.focus();
  }

  /* Numbers in place of a row's buttons. */
  uncover(row) {
    const weakest = osr.weakest(this.refused[row]);
    this.refused[row].forEach((value, column) => {
      const cell = this.body.rows[row].cells[column + 1];
      const colour = this.colours[value];
      cell.style.background = colour;
      cell.style.color = osr.inkOn(colour);
      cell.replaceChildren(`${value}`);
      if (weakest.includes(column)) {
        cell.classList.add("osr-weakest");
        cell.append(osr.hiddenText(", weakest"));
      }
      if (this.guesses.guessed.get(row) === column) {
        const right = this.guesses.isRight(row);
        cell.append(osr.el("span", { "aria-hidden": "true" }, right ? " ✓" : " ✗"));
        cell.append(osr.hiddenText(`, your guess, ${right ? "right" : "wrong"}`));
      }
    });
  }

  verdict(row, column) {
    const [score, values] = [this.scores[row], this.refused[row]];
    const weakest = osr.weakest(values);
    const share = (at) => osr.percent(values[at] / 100, 0);
    const least = `refuses ${osr.list(weakest.map((at) => this.worlds[at]))} least, ${share(weakest[0])}.`;
    if (this.guesses.isRight(row)) return `Right: ${score} ${least} `;
    return `Wrong: of ${this.worlds[column]}, ${score} refuses ${share(column)}. It ${least} `;
  }

  /* Says what came of a guess, then the count; offers what can be done next. */
  tell(text) {
    const { made, right, byChance } = this.guesses.count;
    const count = `${right} of ${made} right; guessing at random would give ${byChance.toFixed(1)} on average.`;
    this.told.textContent =
      text + (made > 0 ? count : "") + (this.guesses.isOver ? " All rows are uncovered; the figure follows." : "");
    this.rest.hidden = made < osr.GUESSED || this.guesses.isOver;
    this.again.hidden = this.guesses.open.size === 0;
  }

  /* The figure stands right below and would give the answers away. It is hidden by a rule in living.css, for the screen. */
  showFigure(isShown) {
    this.isFigureShown = isShown;
    this.figure.textContent = isShown ? "Hide the figure" : "Show the figure";
    document.documentElement.classList.toggle("osr-matrix-covered", !isShown);
  }
};

osr.matrix = osr.begin("osr-matrix", osr.CoveredMatrix);
