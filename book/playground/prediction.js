/* Predict first: the page says nothing before the reader has said what it will say, and keeps a log of both. */
"use strict";

osr.ANSWERS = ["unknown", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/* Rows of equal keys as CSV. */
osr.csv = (rows) => {
  const cell = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const lines = [Object.keys(rows[0]), ...rows.map((row) => Object.values(row))];
  return `${lines.map((values) => values.map(cell).join(",")).join("\n")}\n`;
};

osr.Prediction = class {
  /* changed is called when answers are to be shown, or covered. */
  constructor(changed) {
    this.log = [];
    this.isOpen = false;
    const onchange = () => {
      this.asking.hidden = !this.switch.checked;
      this.isOpen = true; // what is seen already is not to be predicted: the next picture is
      changed();
    };
    this.switch = osr.el("input", { type: "checkbox", id: "osr-predict", onchange });
    this.choices = [this.choice("report", "The report's rule will say"), this.choice("rule", "chapter 8's rule")];
    const show = () => {
      if (this.isOpen) return;
      this.isOpen = true;
      this.made = this.choices.map(({ select }) => select.value); // until both answers are here
      this.enable();
      changed();
    };
    this.button = osr.el("button", { type: "button", onclick: show }, "Show the answers");
    this.count = osr.el("span");
    this.save = osr.el("button", { type: "button", onclick: () => this.download() }, "Download the log (CSV)");
    this.save.hidden = true;
    const fields = this.choices.map(({ field }) => field);
    this.asking = osr.el("div", { class: "osr-tools" }, ...fields, this.button, this.count, this.save);
    this.asking.hidden = true;
    const label = osr.el("label", { for: "osr-predict" }, this.switch, " Predict first");
    this.element = osr.el("div", { class: "osr-prediction" }, label, this.asking);
  }

  choice(name, text) {
    const id = `osr-predict-${name}`;
    const options = ["–", ...osr.ANSWERS].map((one) => osr.el("option", {}, String(one)));
    const select = osr.el("select", { id, onchange: () => this.enable() }, ...options);
    return { select, field: osr.el("label", { for: id }, `${text} `, select) };
  }

  /* Are the answers still to be kept back? */
  get covers() {
    return this.switch.checked && !this.isOpen;
  }

  /* Another picture, or none: it is to be predicted anew. */
  close(isThere) {
    this.isOpen = !isThere;
    this.made = null;
    for (const { select } of this.choices) select.value = "–";
    this.enable();
  }

  /* Both answers are to be predicted before they are shown. */
  enable() {
    this.button.disabled = this.isOpen || this.choices.some(({ select }) => select.value === "–");
  }

  /* What was said of a picture, { report, rule } and what else is to stand in the log. */
  tell(said, more) {
    if (!this.made) return;
    const [report, rule] = this.made;
    this.made = null;
    this.log.push({
      number: this.log.length + 1,
      report_predicted: report,
      report_said: said.report,
      recommended_predicted: rule,
      recommended_said: said.rule,
      ...more,
    });
    this.count.textContent = `${this.right()} of ${2 * this.log.length} predictions right`;
    this.save.hidden = false;
  }

  /* How many of all predictions came true. */
  right() {
    const hits = (row) =>
      (row.report_predicted === row.report_said) + (row.recommended_predicted === row.recommended_said);
    return osr.sum(this.log.map(hits));
  }

  download() {
    const href = URL.createObjectURL(new Blob([osr.csv(this.log)], { type: "text/csv" }));
    osr.el("a", { href, download: "predictions.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }
};
