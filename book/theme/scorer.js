/* What search lists first: the chapters explain; reference pages and the library's names come behind them. */
// biome-ignore lint/correctness/noUnusedVariables: Sphinx puts this before its own script, which reads it
var Scorer = {
  behind: ["book/api", "book/claims", "book/licences", "book/references", "book/status"],
  score: ([page, , , , score]) => (Scorer.behind.includes(page) ? score / 10 : score),
  // as Sphinx has them
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
