/* What the playground and the threshold explorer share: elements, little pictures, packed numbers. */
"use strict";

const osr = {};

/* An element with attributes, event handlers (on…) and children. */
osr.el = function (name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
};

/* 784 numbers from 0 to 255 as a picture of 28×28, enlarged by CSS; shade turns each into red, green and blue. */
osr.paint = function (canvas, values, shade = (value) => [value, value, value]) {
  const context = canvas.getContext("2d"), image = context.createImageData(28, 28);
  for (let i = 0; i < 784; i++) image.data.set([...shade(values[i]), 255], 4 * i);
  context.putImageData(image, 0, 0);
};

/* base64 → bytes. */
osr.bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/* Where an event hit a canvas, in the canvas's own pixels. */
osr.where = function (canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
};
