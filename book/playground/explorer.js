/* The threshold explorer of chapter 6: two lines to drag or to move by keyboard, and what they cost, at once. */
"use strict";

osr.explorer = function (root) {
  const { el } = osr, WIDE = 560, TALL = 380, LEFT = 46, BOTTOM = 36, EDGE = 12, SHOWN = 1200;
  const unpack = (text, kind) => new kind(osr.bytes(text).buffer);
  const worlds = osr.DISTANCES.worlds.map(({ name, known, norm, diff, right }) => ({ name, known,
    norm: unpack(norm, Float32Array), diff: unpack(diff, Uint16Array), right: right && unpack(right, Uint8Array) }));
  const { mean, std } = osr.DISTANCES, top = { norm: 20, diff: 400 }, lines = {};
  const colours = { mnist: "#0072b2", fashion: "#d55e00", cifar10: "#009e73", letters: "#cc79a7" };

  const board = el("canvas", { width: WIDE, height: TALL, class: "osr-scatter", role: "img",
    "aria-label": "Scatter of diff over norm for digits and unknown images, with a line for each. The sliders below move the lines." });
  const context = board.getContext("2d"), still = el("canvas", { width: WIDE, height: TALL });
  const x = (norm) => LEFT + (Math.min(norm, top.norm) / top.norm) * (WIDE - LEFT - EDGE);
  const y = (diff) => TALL - BOTTOM - (Math.min(diff, top.diff) / top.diff) * (TALL - BOTTOM - EDGE);
  const ink = () => getComputedStyle(root).getPropertyValue("--pst-color-text-base") || "#000";

  function points() { // drawn once for each theme: thousands of points are too many for every move of a line
    const to = still.getContext("2d");
    to.clearRect(0, 0, WIDE, TALL);
    for (const { name, norm, diff } of [...worlds].reverse()) {
      to.fillStyle = colours[name] || "#888";
      to.globalAlpha = 0.35;
      const step = Math.max(1, Math.floor(norm.length / SHOWN));
      for (let i = 0; i < norm.length; i += step) to.fillRect(x(norm[i]) - 1.5, y(diff[i]) - 1.5, 3, 3);
    }
    to.globalAlpha = 1;
    to.fillStyle = ink();
    to.font = "15px sans-serif";
    to.textAlign = "left";
    to.fillText("diff", LEFT + 6, 18);
    to.textAlign = "center";
    to.fillText("norm", WIDE / 2, TALL - 2);
    for (let value = 0; value <= top.norm; value += 5) to.fillText(String(value), x(value), TALL - BOTTOM + 16);
    to.textAlign = "right";
    for (let value = 0; value <= top.diff; value += 100) to.fillText(String(value), LEFT - 6, y(value) + 5);
  }

  /* What the two lines make of all images, not of the drawn ones alone. */
  function count() {
    const rows = worlds.map(({ name, known, norm, diff, right }) => {
      let refused = 0, correct = 0;
      for (let i = 0; i < norm.length; i++) {
        const out = norm[i] > lines.norm || diff[i] > lines.diff;
        if (out) refused++;
        else if (known && right[i]) correct++;
      }
      return { name, known, images: norm.length, refused, correct: known ? correct : refused };
    });
    const share = (some) => some.reduce((sum, row) => sum + row.correct, 0) / some.reduce((sum, row) => sum + row.images, 0);
    const scored = rows.filter(({ name }) => osr.DISTANCES.scored.includes(name));
    return { rows, mnist: share(scored.filter((row) => row.known)), ood: share(scored.filter((row) => !row.known)), total: share(scored) };
  }

  const percent = (value) => `${(100 * value).toFixed(2)}\u00a0%`;
  const told = Object.fromEntries(["mnist", "ood", "total"].map((key) => [key, el("output", { id: `osr-told-${key}` })]));
  const body = el("tbody");
  const sliders = {}, values = {};
  for (const [key, step] of [["norm", 0.01], ["diff", 1]]) {
    values[key] = el("output");
    sliders[key] = el("input", { type: "range", id: `osr-line-${key}`, min: 0, max: top[key], step,
      oninput: () => { lines[key] = Number(sliders[key].value); update(); } });
  }
  const factor = el("input", { type: "range", id: "osr-factor", min: 0, max: 5, step: 0.1, value: 2, oninput: spread });
  const factorTold = el("output");

  function spread() { // the report's way to draw the lines
    for (const key of ["norm", "diff"]) lines[key] = mean[key] + Number(factor.value) * std[key];
    update();
  }

  function update() {
    context.clearRect(0, 0, WIDE, TALL);
    context.drawImage(still, 0, 0);
    context.strokeStyle = ink();
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x(lines.norm), 0);
    context.lineTo(x(lines.norm), TALL - BOTTOM);
    context.moveTo(LEFT, y(lines.diff));
    context.lineTo(WIDE, y(lines.diff));
    context.stroke();
    const now = count();
    for (const key of ["mnist", "ood", "total"]) told[key].value = percent(now[key]);
    const line = (head, kind, images, refused) => el("tr", {}, el("th", { scope: "row" }, ...head), el("td", {}, kind),
      el("td", {}, String(images - refused)), el("td", {}, String(refused)));
    const strangers = now.rows.filter(({ name, known }) => !known && osr.DISTANCES.scored.includes(name));
    const sum = (key) => strangers.reduce((total, row) => total + row[key], 0);
    body.replaceChildren(...now.rows.map(({ name, known, images, refused }) => line(
      [el("span", { class: "osr-swatch", style: `background:${colours[name]}` }), name], known ? "known" : "unknown", images, refused)),
    line([strangers.map(({ name }) => name).join(" + ")], "OOD", sum("images"), sum("refused")));
    for (const key of ["norm", "diff"]) {
      sliders[key].value = lines[key];
      values[key].value = lines[key].toFixed(key === "norm" ? 2 : 0);
    }
    factorTold.value = Number(factor.value).toFixed(1);
  }

  let held = null;
  board.addEventListener("pointerdown", (event) => {
    const [px, py] = osr.where(board, event), near = { norm: Math.abs(px - x(lines.norm)), diff: Math.abs(py - y(lines.diff)) };
    held = near.norm < near.diff ? "norm" : "diff";
    if (near[held] > 20) return void (held = null);
    event.preventDefault();
    board.setPointerCapture(event.pointerId);
  });
  board.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [px, py] = osr.where(board, event);
    const value = held === "norm" ? ((px - LEFT) / (WIDE - LEFT - EDGE)) * top.norm : ((TALL - BOTTOM - py) / (TALL - BOTTOM - EDGE)) * top.diff;
    lines[held] = Math.min(top[held], Math.max(0, value));
    update();
  });
  for (const end of ["pointerup", "pointercancel"]) board.addEventListener(end, () => { held = null; });

  const slider = (key) => el("div", {}, el("label", { for: `osr-line-${key}` }, `line of ${key}: `, values[key]), sliders[key]);
  root.replaceChildren(
    board,
    el("p", {}, "Some thousand images of each world are drawn; all are counted. What lies beyond an axis is drawn at its end."),
    el("div", { class: "osr-columns" },
      el("div", {}, slider("norm"), slider("diff"),
        el("label", { for: "osr-factor" }, "mean + k · std of training digits, k = ", factorTold), factor,
        el("button", { type: "button", onclick: () => { factor.value = 2; spread(); } }, "The report's lines: k = 2")),
      el("div", {},
        el("p", {}, "MNIST ", told.mnist, " · OOD ", told.ood, " · total ", told.total),
        el("table", { class: "table" }, el("thead", {}, el("tr", {}, ...["world", "", "accepted", "refused"].map((text) => el("th", {}, text)))), body))));
  points();
  spread();
  new MutationObserver(() => { points(); update(); }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return { lines, count, place: ({ norm, diff }) => ({ norm: x(norm), diff: y(diff) }) };
};

osr.explored = osr.explorer(document.getElementById("osr-explorer"));
