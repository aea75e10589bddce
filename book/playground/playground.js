/* The playground: a canvas, a tray of ready images and an upload; whatever is there, the model answers at once. */
"use strict";

osr.playground = function (root) {
  const { el } = osr, weights = osr.decode(osr.WEIGHTS), SIZE = 280, PEN = 22, MOST = 80e6;
  const lines = { ...osr.LINES };
  let image = null;

  const board = el("canvas", { width: SIZE, height: SIZE, class: "osr-board", role: "img",
    "aria-label": "Drawing area. Draw with mouse, finger or pen. Without them, choose a ready image below." });
  const pad = board.getContext("2d", { willReadFrequently: true });
  const small = (label) => el("canvas", { width: 28, height: 28, class: "osr-small", role: "img", "aria-label": label });
  const views = { seen: small("What the model sees"), copy: small("The copy that it makes"),
    ink: small("The image in black and white"), copyInk: small("The copy in black and white"), differ: small("Where they differ") };
  const names = { seen: "image", copy: "copy", ink: "image, 0/1", copyInk: "copy, 0/1", differ: "difference" };
  const verdict = el("p", { class: "osr-verdict", role: "status", "aria-live": "polite" });
  const reason = el("p", { class: "osr-reason" });
  const message = el("p", { class: "osr-message", role: "alert" });
  const bars = Array.from({ length: 10 }, (_, digit) => {
    const fill = el("span", { class: "osr-fill" }), share = el("span", { class: "osr-share" });
    return { fill, share, row: el("li", {}, el("span", { class: "osr-digit" }, String(digit)), el("span", { class: "osr-bar" }, fill), share) };
  });

  function gauge(key, label, top, step, decimals) {
    const fill = el("span", { class: "osr-fill" }), mark = el("span", { class: "osr-mark" }), told = el("output");
    const line = el("output"), slider = el("input", { type: "range", min: 0, max: top, step, value: lines[key], id: `osr-${key}`,
      oninput: () => { lines[key] = Number(slider.value); answer(); } });
    const show = function (value) {
      fill.style.width = `${Math.min(100, (100 * (value ?? 0)) / top)}%`;
      fill.classList.toggle("osr-over", value !== null && value > lines[key]);
      mark.style.left = `${Math.min(100, (100 * lines[key]) / top)}%`;
      told.value = value === null ? "–" : value.toFixed(decimals);
      line.value = lines[key].toFixed(decimals);
    };
    return { show, slider, row: el("div", { class: "osr-gauge" },
      el("div", {}, `${label}: `, told), el("div", { class: "osr-bar" }, fill, mark),
      el("label", { for: `osr-${key}` }, "refuse above ", line), slider) };
  }
  const gauges = { norm: gauge("norm", "norm", 20, 0.1, 2), diff: gauge("diff", "diff", 400, 1, 0) };

  /* Everything on the page that follows from the image and the two lines. Returns the label, null where there is none. */
  function answer() {
    const said = image && osr.forward(weights, image);
    const norm = said && osr.norm(image, said.copy), diff = said && osr.diff(image, said.copy);
    gauges.norm.show(norm);
    gauges.diff.show(diff);
    const guess = said ? said.probabilities.indexOf(Math.max(...said.probabilities)) : -1;
    bars.forEach(({ fill, share, row }, digit) => {
      const p = said ? said.probabilities[digit] : 0;
      fill.style.width = `${100 * p}%`;
      share.textContent = said ? `${(100 * p).toFixed(1)}\u00a0%` : "";
      row.classList.toggle("osr-best", digit === guess);
    });
    const zero = new Uint8Array(784), [ink, copyInk] = said ? osr.binarised(image, said.copy) : [zero, zero];
    osr.paint(views.seen, image || zero);
    osr.paint(views.copy, said ? said.copy.map((p) => 255 * p) : zero);
    osr.paint(views.ink, ink.map((on) => 255 * on));
    osr.paint(views.copyInk, copyInk.map((on) => 255 * on));
    osr.paint(views.differ, Array.from(ink, (on, i) => on - copyInk[i]),
      (change) => (change > 0 ? [230, 159, 0] : change < 0 ? [86, 180, 233] : [0, 0, 0]));
    if (!said) {
      verdict.textContent = "Nothing is drawn yet.";
      reason.textContent = "";
      verdict.className = "osr-verdict";
      return null;
    }
    const far = norm > lines.norm, many = diff > lines.diff, unknown = far || many;
    verdict.textContent = unknown ? "unknown" : `a ${guess}`;
    verdict.className = `osr-verdict ${unknown ? "osr-unknown" : "osr-known"}`;
    const p = `${(100 * said.probabilities[guess]).toFixed(0)}\u00a0%`;
    const why = [far && `the copy is farther from the image than digits are (norm ${norm.toFixed(2)} above ${lines.norm.toFixed(2)})`,
      many && `too many pixels change between black and white (diff ${diff} above ${lines.diff.toFixed(0)})`].filter(Boolean);
    reason.textContent = unknown ? `Refused: ${why.join(", and ")}. The classifier alone would have said ${guess}, with ${p}.`
      : `Both distances are below their lines, and the classifier says ${guess}, with ${p}.`;
    return unknown ? "unknown" : guess;
  }

  function show(bytes) {
    image = bytes && bytes.some((value) => value > 0) ? bytes : null;
    return answer();
  }

  function look() { // at what is on the board
    return show(osr.toMnist(osr.toGrey(pad.getImageData(0, 0, SIZE, SIZE).data), SIZE, SIZE));
  }

  function clear() {
    pad.fillStyle = "#000";
    pad.fillRect(0, 0, SIZE, SIZE);
    message.textContent = "";
    show(null);
  }

  /* A ready image of 28×28 needs no preparation: it goes to the model as it is, and onto the board to be drawn over. */
  function take(bytes) {
    clear();
    const shown = el("canvas", { width: 28, height: 28 });
    osr.paint(shown, bytes);
    pad.imageSmoothingEnabled = false;
    pad.drawImage(shown, 0, 0, SIZE, SIZE);
    return show(bytes);
  }

  /* A file as an image element, whose size is known before its pixels are unpacked. */
  function open(file) {
    return new Promise((resolve, reject) => {
      const picture = new Image(), address = URL.createObjectURL(file);
      picture.onload = () => resolve(picture);
      picture.onerror = () => reject(new Error(`${file.name} cannot be read as an image. The page knows PNG, JPEG, GIF, WebP and SVG.`));
      picture.src = address;
    });
  }

  async function upload(file) {
    message.textContent = "";
    verdict.setAttribute("aria-busy", "true");
    try {
      const picture = await open(file), { naturalWidth: wide, naturalHeight: tall } = picture;
      if (!wide || !tall) throw new Error(`${file.name} does not say how large it is.`);
      if (wide * tall > MOST) throw new Error(`${file.name} has more than ${MOST / 1e6} million pixels. Choose a smaller picture.`);
      const scale = Math.min(1, 1000 / Math.max(wide, tall)); // of a photograph's millions, 28×28 will be left
      const width = Math.max(1, Math.round(wide * scale)), height = Math.max(1, Math.round(tall * scale));
      const context = el("canvas", { width, height }).getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, 0, 0, width, height);
      URL.revokeObjectURL(picture.src);
      take(osr.toMnist(osr.toGrey(context.getImageData(0, 0, width, height).data), height, width));
      if (!image) throw new Error(`${file.name} holds nothing that differs from its background.`);
    } catch (error) {
      message.textContent = error.message;
    }
    verdict.setAttribute("aria-busy", "false");
  }

  let at = null;
  const stroke = function (from, to) {
    pad.strokeStyle = "#fff";
    pad.lineWidth = PEN;
    pad.lineCap = pad.lineJoin = "round";
    pad.beginPath();
    pad.moveTo(...from);
    pad.lineTo(to[0] + 0.01, to[1]); // a line of no length would leave no dot
    pad.stroke();
    look();
  };
  board.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    board.setPointerCapture(event.pointerId);
    at = osr.where(board, event);
    stroke(at, at);
  });
  board.addEventListener("pointermove", (event) => {
    if (!at) return;
    const next = osr.where(board, event);
    stroke(at, next);
    at = next;
  });
  for (const end of ["pointerup", "pointercancel"]) board.addEventListener(end, () => { at = null; });

  const tray = Object.entries(osr.TRAY).map(([world, text]) => {
    const bytes = osr.bytes(text), buttons = [];
    for (let i = 0; i * 784 < bytes.length; i++) {
      const one = bytes.slice(784 * i, 784 * (i + 1)), face = el("canvas", { width: 28, height: 28 });
      osr.paint(face, one);
      buttons.push(el("button", { type: "button", "aria-label": `${world}, number ${i + 1}`, onclick: () => take(one) }, face));
    }
    return el("div", { class: "osr-tray", role: "group", "aria-label": world }, el("span", {}, world), ...buttons);
  });
  const figure = (key) => el("figure", {}, views[key], el("figcaption", {}, names[key]));

  root.replaceChildren(
    el("div", { class: "osr-columns osr-desk" },
      el("div", {}, board,
        el("div", { class: "osr-tools" },
          el("button", { type: "button", onclick: clear }, "Clear"),
          el("label", { class: "osr-upload" }, "Upload a picture ", el("input", { type: "file", accept: "image/*",
            onchange: (event) => { if (event.target.files.length) upload(event.target.files[0]); } }))),
        message),
      el("div", { class: "osr-answer" }, verdict, reason, gauges.norm.row, gauges.diff.row,
        el("button", { type: "button", onclick: () => { Object.assign(lines, osr.LINES);
          for (const key of ["norm", "diff"]) gauges[key].slider.value = lines[key]; answer(); } }, "Lines of chapter 6"),
        el("ul", { class: "osr-bars", "aria-label": "Probability of each digit" }, ...bars.map(({ row }) => row))),
      el("div", { class: "osr-views" }, ...Object.keys(views).map(figure))),
    ...tray);
  clear();
  return { take, look };
};

osr.ready = osr.playground(document.getElementById("osr-playground"));
