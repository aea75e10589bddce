/* Runs the book's scripts one after the other, as a page does, but without a browser. Returns what they define. */
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const SCRIPTS = path.join(__dirname, "..", "..", "book", "playground");

module.exports = (...names) => {
  const nowhere = { getElementById: () => null }; // a page without a place for the playground or the explorer
  const page = vm.createContext({ atob, document: nowhere });
  for (const name of names) {
    vm.runInContext(fs.readFileSync(path.join(SCRIPTS, name), "utf8"), page, { filename: name });
  }
  return vm.runInContext("osr", page);
};
