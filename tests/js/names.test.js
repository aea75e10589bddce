"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

const SCRIPTS = path.join(__dirname, "..", "..", "book", "playground");

test("no name is given twice: a page can load any of the scripts together", () => {
  const owners = new Map();
  for (const script of fs.readdirSync(SCRIPTS).filter((name) => name.endsWith(".js"))) {
    for (const [, name] of fs.readFileSync(path.join(SCRIPTS, script), "utf8").matchAll(/^osr\.(\w+) =/gm)) {
      assert.equal(owners.get(name), undefined, `osr.${name} in ${script} and in ${owners.get(name)}`);
      owners.set(name, script);
    }
  }
  assert.ok(owners.size > 100);
});
