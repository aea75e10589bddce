/* The book for paper and e-readers, as tools/printed.py puts it together in a browser: the text of each page, made still
 * (take), then all of them as one document (mend), which is printed (fit, number) or cut into the files of an EPUB (cut).
 */
"use strict";

const printed = {};

/* What neither paper nor an e-reader has a use for: what is clicked, and code that only draws. */
printed.LEFT_OUT =
  ".on-screen, .full-size:has(.only-dark), .only-dark, picture > source, .headerlink, script, noscript, link, style, button, input, details.above-input, .sd-summary-state-marker";

/* The attributes that stay on elements of HTML. */
printed.KEPT = [
  "id",
  "class",
  "href",
  "src",
  "alt",
  "style",
  "colspan",
  "rowspan",
  "start",
  "width",
  "height",
  "data-page",
];

/* An element of HTML with attributes and children. */
printed.el = (name, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/1999/xhtml", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

/* The name of a place in the whole book: of a page, "notebooks/02-keeping-score", or of an id on it. */
printed.place = (page, id) => {
  const name = `at-${page.split("/").pop()}`;
  return id ? `${name}-${id.replace(/[^\w.-]/g, "-")}` : name;
};

/* Before the page's own scripts run: what it says in the place of each living part. */
printed.remember = () => {
  printed.words = {};
  for (const root of document.querySelectorAll('div[id^="osr-"]')) {
    root.querySelector("noscript")?.remove();
    printed.words[root.id] = root.textContent.trim().replace(/\s+/g, " ");
  }
};

/* Each living part becomes a figure. files: id → { src, width } of the picture that was taken of it. */
printed.still = (article, files) => {
  for (const [id, text] of Object.entries(printed.words)) {
    const root = article.querySelector(`#${id}`);
    const shown = [...root.querySelectorAll("[role=img][aria-label], [role=status]")];
    const said = shown.map((one) => (one.getAttribute("aria-label") ?? one.textContent).trim()).filter(Boolean);
    root.replaceWith(
      printed.el(
        "figure",
        { id, class: "still" },
        printed.el("img", { ...files[id], alt: said.join(" ") || text }),
        printed.el("figcaption", {}, printed.el("p", {}, text)),
      ),
    );
  }
};

/* Formulas as MathML, with their TeX beside them. */
printed.formulas = () => {
  for (const item of globalThis.MathJax?.startup?.document.math ?? []) {
    const text = globalThis.MathJax.startup.toMML(item.root);
    const formula = new DOMParser().parseFromString(text, "application/xml").documentElement;
    for (const one of [formula, ...formula.querySelectorAll("*")])
      printed.strip(one, (name) => /^(data-.*|class)$/.test(name));
    formula.setAttribute("alttext", item.math.trim());
    item.typesetRoot.replaceWith(document.importNode(formula, true));
  }
};

/* Rules of style that stand among the text, as pandas writes them for its tables, go to the elements that they name. */
printed.inline = (article) => {
  const sheets = [...article.querySelectorAll("style")].flatMap(({ sheet }) => sheet ?? []);
  const rules = sheets.flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule.selectorText);
  for (const { selectorText, style } of rules)
    for (const one of article.querySelectorAll(selectorText)) one.style.cssText += style.cssText;
};

/* A folded table that has all rows of the one before it takes its place: open, it would print them twice. */
printed.once = (article) => {
  const rows = (table) => [...table.tBodies[0].rows].map((row) => row.textContent.replace(/\s+/g, " "));
  const tables = [...article.querySelectorAll("table")];
  for (const [i, folded] of tables.entries()) {
    if (i === 0 || !folded.closest("details.below-input")) continue;
    const all = rows(folded);
    if (rows(tables[i - 1]).every((row) => all.includes(row))) tables[i - 1].replaceWith(folded);
  }
};

/* No line ends before or after ±; in a path within a sentence one may end after each slash. */
printed.lines = (article) => {
  const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (parentElement.closest("pre")) continue;
    if (data.includes(" ± ")) texts.currentNode.data = data.replaceAll(" ± ", "\u00a0±\u00a0");
    const slash = data.indexOf("/") + 1;
    if (parentElement.closest("code") && 0 < slash && slash < data.length)
      texts.currentNode.splitText(slash).before(printed.el("wbr"));
  }
};

/* What is folded is open: claims, and what cells print. The answers to a quiz get a box, and are moved later. */
printed.unfold = (article) => {
  for (const part of article.querySelectorAll("details")) {
    part.querySelector("summary")?.remove();
    const answer = part.querySelector(":scope > .sd-summary-content");
    part.replaceWith(...(answer ? [printed.el("div", { class: "answer" }, ...answer.childNodes)] : part.childNodes));
  }
};

/* Links within the book lead to places in the one document; those to what is not printed become plain text. */
printed.relink = (article, root, pages) => {
  for (const link of article.querySelectorAll("a")) {
    const inside = link.href.startsWith(root) && link.href.slice(root.length).match(/^(.+)\.html(?:#(.*))?$/);
    if (inside && pages.includes(inside[1]))
      link.setAttribute("href", `#${printed.place(inside[1], decodeURIComponent(inside[2] ?? ""))}`);
    else if (!/^(https?|mailto):/.test(link.href)) link.replaceWith(...link.childNodes);
  }
};

/* Takes away the attributes of an element that a test names. */
printed.strip = (one, test) => {
  for (const { name } of [...one.attributes]) if (test(name)) one.removeAttribute(name);
};

/* Ids that are unique in the whole book, addresses in full, and no attribute that only a script or a screen needs. */
printed.tidy = (article, page) => {
  const seen = new Set();
  const elements = [...article.querySelectorAll("*")];
  for (const one of elements.filter((element) => element instanceof HTMLElement)) {
    if (one.matches("img")) one.setAttribute("src", one.src);
    if (one.id) one.id = printed.place(page, one.id);
    if (seen.has(one.id)) one.removeAttribute("id");
    seen.add(one.id);
    printed.strip(one, (name) => !printed.KEPT.includes(name));
  }
};

/* A page's text as a section in XHTML. page: its name; pages: of all that are printed; root: the address of the book;
 * files: as in still. */
printed.take = (page, pages, root, files) => {
  const article = document.querySelector("article.bd-article");
  printed.inline(article);
  printed.still(article, files);
  printed.formulas();
  for (const one of article.querySelectorAll(printed.LEFT_OUT)) one.remove();
  printed.once(article);
  printed.unfold(article);
  printed.lines(article);
  printed.relink(article, root, pages);
  printed.tidy(article, page);
  const section = printed.el("section", { class: "chapter", id: printed.place(page) }, ...article.childNodes);
  return new XMLSerializer().serializeToString(section);
};

/* A link to a place, and for paper its page, which number() fills in. */
printed.see = (text, id) =>
  printed.el(
    "span",
    { class: "see" },
    printed.el("a", { href: `#${id}` }, text),
    printed.el("span", { "data-page": id }),
  );

/* A chapter's solutions and answers move to the end of the book; links lead there and back. */
printed.collect = (chapter, end) => {
  const found = [...chapter.querySelectorAll(".solution, .answer")];
  if (!found.length) return;
  end.append(printed.el("h2", { id: `${chapter.id}-solutions` }, chapter.querySelector("h1").textContent));
  for (const [i, one] of found.entries()) {
    if (one.matches(".answer")) {
      let question = one.previousElementSibling; // its number stands before it; code may stand between
      while (!question.querySelector("strong")) question = question.previousElementSibling;
      question.id ||= `${chapter.id}-question-${i}`;
      one.id = `${question.id}-answer`;
      question.append(" ", printed.see("Answer", one.id));
      const number = question.querySelector("strong").textContent.replace(/\W/g, "");
      one.prepend(printed.el("p", { class: "admonition-title" }, printed.see(`Question ${number}`, question.id)));
    } else {
      one.before(printed.el("p", {}, printed.see("Solution", one.id)));
    }
    end.append(one);
  }
};

/* The list of contents: chapters, and the sections of those that are numbered. */
printed.contents = (list) => {
  for (const chapter of document.querySelectorAll("section.chapter")) {
    const title = chapter.querySelector("h1").textContent;
    const item = printed.el("li", {}, printed.see(title, chapter.id));
    const parts = /^\d/.test(title) ? [...chapter.querySelectorAll("section[id] > h2")] : [];
    const inner = parts.map((part) => printed.el("li", {}, printed.see(part.textContent, part.parentElement.id)));
    if (inner.length) item.append(printed.el("ol", {}, ...inner));
    list.append(item);
  }
};

/* The one document: solutions at its end, every link with a place to lead to, a list of contents. */
printed.mend = () => {
  const end = document.querySelector("#at-solutions");
  const chapters = [...document.querySelectorAll("section.chapter")];
  for (const chapter of chapters) if (chapter !== end) printed.collect(chapter, end);
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    const id = link.hash.slice(1);
    const near = chapters.findLast((chapter) => id === chapter.id || id.startsWith(`${chapter.id}-`));
    if (!document.getElementById(id)) link.setAttribute("href", `#${near.id}`);
  }
  printed.contents(document.querySelector("nav > ol"));
};

/* Code with long lines, and what is wider than the paper, is set smaller; returns by how much, for each of the latter.
 * The hidden copies of formulas go: they too can be wider, and the browser then sets the whole book smaller. */
printed.fit = () => {
  for (const copy of document.querySelectorAll("mjx-assistive-mml")) copy.remove();
  for (const code of document.querySelectorAll("pre"))
    if (code.textContent.split("\n").some((line) => line.length > 98)) code.classList.add("long");
  const room = document.body.getBoundingClientRect().right;
  const shrunk = [];
  for (const one of document.querySelectorAll("table, mjx-container, .math, .output svg")) {
    const box = one.getBoundingClientRect();
    const inner = Math.max(box.right, box.left + one.scrollWidth);
    if (inner <= room + 1) continue;
    const zoom = (room - box.left) / (inner - box.left);
    one.style.zoom = 0.98 * zoom;
    shrunk.push([one.textContent.trim().slice(0, 40), zoom]);
  }
  return shrunk;
};

/* Page numbers into their places. pages: id → number. */
printed.number = (pages) => {
  for (const one of document.querySelectorAll("[data-page]")) one.textContent = pages[one.dataset.page] ?? "";
};

/* The list of contents as that of an EPUB. */
printed.list = () => {
  const copy = document.querySelector("nav").cloneNode(true);
  copy.setAttributeNS("http://www.idpf.org/2007/ops", "epub:type", "toc");
  for (const one of copy.querySelectorAll("[data-page]")) one.remove();
  for (const one of copy.querySelectorAll(".see")) one.replaceWith(...one.childNodes);
  printed.point(copy);
  return new XMLSerializer().serializeToString(copy);
};

/* Links within the one document lead to files. */
printed.point = (part) => {
  for (const link of part.querySelectorAll('a[href^="#"]')) {
    const id = link.getAttribute("href").slice(1);
    link.setAttribute("href", `${document.getElementById(id).closest("section.chapter").id}.xhtml#${id}`);
  }
};

/* The one document as files for an EPUB: { id, title, text, images } of each. */
printed.cut = () =>
  [...document.querySelectorAll("section.chapter")].map((chapter) => {
    const copy = chapter.cloneNode(true);
    for (const one of copy.querySelectorAll("[data-page]")) one.remove();
    printed.point(copy);
    const images = [...copy.querySelectorAll("img")];
    const addresses = images.map((image) => image.src);
    for (const image of images) image.setAttribute("src", `images/${image.src.split("/").pop()}`);
    return {
      id: chapter.id,
      title: chapter.querySelector("h1").textContent,
      text: new XMLSerializer().serializeToString(copy),
      images: addresses,
    };
  });

document.addEventListener("readystatechange", () => document.readyState === "interactive" && printed.remember());
globalThis.printed = printed;
