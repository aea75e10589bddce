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
      changed();
    };
    this.switch = osr.el("input", { type: "checkbox", id: "osr-predict", onchange });
    this.choices = [this.choice("report", "The report's rule will say"), this.choice("rule", "chapter 8's rule")];
    const show = () => {
      this.isOpen = true;
      this.note = true; // of the answers that changed() is about to show
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
    const select = osr.el("select", { id }, ...osr.ANSWERS.map((one) => osr.el("option", {}, String(one))));
    return { select, field: osr.el("label", { for: id }, `${text} `, select) };
  }

  /* Are the answers still to be kept back? */
  get covers() {
    return this.switch.checked && !this.isOpen;
  }

  /* Another picture, or none: it is to be predicted anew. */
  close(isThere) {
    this.isOpen = this.note = false;
    this.button.disabled = !isThere;
  }

  /* What was said of a picture, { report, rule } and what else is to stand in the log. */
  tell(said, more) {
    if (!this.note) return;
    this.note = false;
    const [report, rule] = this.choices.map(({ select }) => select.value);
    this.log.push({
      number: this.log.length + 1,
      report_predicted: report,
      report_said: said.report,
      rule_predicted: rule,
      rule_said: said.rule,
      ...more,
    });
    this.count.textContent = `${this.right()} of ${2 * this.log.length} predictions right`;
    this.save.hidden = false;
  }

  /* How many of all predictions came true. */
  right() {
    const hits = (row) => (row.report_predicted === row.report_said) + (row.rule_predicted === row.rule_said);
    return osr.sum(this.log.map(hits));
  }

  download() {
    const href = URL.createObjectURL(new Blob([osr.csv(this.log)], { type: "text/csv" }));
    osr.el("a", { href, download: "predictions.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }
};
