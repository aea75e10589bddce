/* What the living pages share: elements, little pictures, packed numbers, pointers.
 *
 * The scripts are plain ones, not modules, so that a page works when it is opened by double-click. All that they define
 * lies in one object, osr. Numbers, images and colours are in weights.js, distances.js and ranks.js, which the build writes.
 */
"use strict";

const osr = {};

/* Width and height of the images that the network reads, in pixels. */
osr.SIDE = 28;

/* Of the two distances: how far axes go, how far apart their numbers and a slider's steps are, their decimals. */
osr.AXES = {
  norm: { top: 50, tick: 10, step: 0.1, decimals: 2 },
  diff: { top: 500, tick: 100, step: 1, decimals: 0 },
};

/* An element with attributes, event handlers (on…) and children. */
osr.el = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  // else a browser that comes back to the page fills in what stood there before, and the page shows something else
  if (name === "input" || name === "select") element.autocomplete = "off";
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};

/* Puts a living part where the page has a place for it. */
osr.begin = (id, Part) => {
  const root = document.getElementById(id);
  try {
    return root && new Part(root);
  } catch (error) {
    root.textContent = "This part cannot be shown: one of its files did not arrive. Reload the page to try again.";
    throw error;
  }
};

/* 784 numbers from 0 to 255 as a picture of 28×28, enlarged by CSS; shade turns each into red, green and blue. */
osr.paint = (canvas, values, shade = (value) => [value, value, value]) => {
  const context = canvas.getContext("2d");
  const image = context.createImageData(osr.SIDE, osr.SIDE);
  values.forEach((value, i) => {
    image.data.set([...shade(value), 255], 4 * i);
  });
  context.putImageData(image, 0, 0);
};

/* "#e69f00" → [230, 159, 0]. */
osr.rgb = (colour) => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));

/* A line as it is shown. */
osr.shownLine = (key, line) => (Number.isInteger(line) && key === "diff" ? String(line) : line.toFixed(2));

/* base64 → bytes. */
osr.bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/* base64 → numbers of 32 bits. */
osr.floats = (text) => new Float32Array(osr.bytes(text).buffer);

/* Where the scripts lie. */
osr.folder = document.currentScript?.src.replace(/[^/]*$/, "");

/* What a file of the build holds, by its name: a script tag fetches it, since that works by double-click too. */
osr.files = {}; // promises
osr.takers = {}; // and who takes what arrives
osr.fetched = (name) => {
  osr.files[name] ??= new Promise((resolve, reject) => {
    osr.takers[name] = resolve;
    const fail = () => {
      script.remove();
      delete osr.files[name]; // the next one who asks tries again
      reject(new Error(`${name} could not be loaded.`));
    };
    const onload = () => osr.takers[name] && fail(); // it was another file
    const script = osr.el("script", { src: osr.folder + name, onerror: fail, onload });
    document.head.append(script);
  });
  return osr.files[name];
};

/* The files themselves call this. */
osr.arrived = (name, value) => {
  osr.takers[name](value);
  delete osr.takers[name];
};

/* The distances of a world's images, as the build packed them. */
osr.distance = (packed, key) => new ({ norm: Float32Array, diff: Uint16Array })[key](osr.bytes(packed).buffer);

osr.sum = (values) => values.reduce((total, value) => total + value, 0);

osr.mean = (values) => osr.sum(values) / values.length;

osr.countAbove = (values, line) => values.reduce((count, value) => count + (value > line), 0);

/* The energy score: minus the logarithm of the sum of all exp(logit). */
osr.energy = (logits) => {
  const largest = Math.max(...logits);
  return -largest - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
};

/* The value below which a share q of the values lies. */
osr.quantile = (values, q) => {
  const sorted = Float64Array.from(values).sort();
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
};

/* Numbers in [0, 1) that are the same for the same seed (mulberry32). */
osr.random = (seed) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

/* Which of n scores is the line, counted from the smallest; as osrlib.thresholds.Conformal. */
osr.rankOfLine = (n, alpha) => Math.max(1, Math.ceil((n + 1) * (1 - alpha) - 1e-9));

/* 0.975 → "97.5 %", with a space that does not break. */
osr.percent = (share, decimals) => `${(100 * share).toFixed(decimals)}\u00a0%`;

/* Gives a canvas its size in CSS pixels, as sharp as the screen is, and empties it. What is drawn is in CSS pixels too. */
osr.sharp = (canvas, width, height) => {
  canvas.dense = window.devicePixelRatio || 1;
  const [across, down] = [width, height].map((size) => Math.round(size * canvas.dense));
  if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
  canvas.style.width = `${width}px`;
  const context = canvas.getContext("2d");
  context.setTransform(canvas.dense, 0, 0, canvas.dense, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
};

/* The colour of text where an element stands: in this theme, light or dark, or as the reader forces it. */
osr.textColour = (element) => getComputedStyle(element).color;

/* Draws anew what a canvas shows when the theme, the reader's colours or the room change. */
osr.redrawn = (draw) => {
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  window.matchMedia("(forced-colors: active)").addEventListener("change", draw);
  window.addEventListener("resize", draw);
};

/* Waits until an element is about to be seen. */
osr.isNear = (element) =>
  new Promise((resolve) => {
    const look = (entries) => entries.some((entry) => entry.isIntersecting) && resolve();
    new IntersectionObserver(look, { rootMargin: "600px" }).observe(element);
  });

/* Where an event hit a canvas: in CSS pixels if it is a sharp one, else in the canvas's own. */
osr.where = (canvas, event) => {
  const box = canvas.getBoundingClientRect();
  const dense = canvas.dense ?? 1;
  const x = ((event.clientX - box.left) * canvas.width) / box.width / dense;
  const y = ((event.clientY - box.top) * canvas.height) / box.height / dense;
  return [x, y];
};

/* Tells where mouse, finger or pen goes while it is held down: first take, then move. Not where take returns false. */
osr.follow = (canvas, take, move) => {
  let held = null; // the pointer that is followed: a second finger is not
  canvas.addEventListener("pointerdown", (event) => {
    if (held !== null || event.button !== 0 || !take(osr.where(canvas, event))) return;
    held = event.pointerId;
    event.preventDefault();
    canvas.setPointerCapture(held);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId === held) move(osr.where(canvas, event));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId === held) held = null;
    });
  }
};
