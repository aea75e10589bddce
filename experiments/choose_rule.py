"""The choice of the recommended rule, by what the race measured (``race.py``, chapter 8).

    python -m experiments.choose_rule        about two hours on two cores; goes on where it was interrupted

The best of many is best in part by luck. Nested choice says by how much: choose by two seeds and one half of the images
of each world, and measure on the third seed and the other half.
"""

import numpy as np
import pandas as pd

from experiments import race, study
from experiments.race import ALPHA, IMAGES, KINDS, LATER, MADE_UP, PENS, SEEDS, SINGLE
from osrlib import data

ROWS = study.BUILD / "selection.jsonl"
TABLE, LOG = study.RESULTS / "selection.csv", study.RESULTS / "selection.log"
ACCURACY_BAR, FAR_BAR, PENS_BAR = 0.98, 0.97, 0.03
FAR = ("patches", "noise", "mnist-noise", "small", "faint", "pairs", "empty")
NEAR, HOWS = ("letters", "held-out digits"), ("refused", "wrong")
HALVES = ("halves", "halves of one class", "halves of letters")
RACING = [kind for kind in KINDS if kind not in LATER]
"""The kinds among which the rule was chosen."""


def with_means(lines, parts=IMAGES):
    """The lines with a column for each world, from some parts of its images; the worst far one, and the near ones."""
    lines = lines.copy()
    for world in (*FAR, *NEAR, *HALVES):
        lines[world] = lines[[f"{world}, {part}" for part in parts]].mean(axis=1)
    return lines.assign(**{"worst far": lines[list(FAR)].min(axis=1), "near": lines[list(NEAR)].mean(axis=1)})


def candidates(lines, parts=IMAGES, kinds=RACING):
    """One line a candidate: means over the seeds, and the worst far world of any of them."""
    lines = lines[(lines.rule != MADE_UP) & lines.kind.isin(kinds)]  # that rule is none for the other kinds
    each = with_means(lines, parts).groupby(["kind", "rule"], sort=False)
    answer = each[["accuracy", "false refusals", *NEAR, *FAR, "near", "pens, refused", "pens, wrong"]].mean()
    answer["near std"] = each["near"].std()
    return answer.assign(**{"worst far": each["worst far"].min()})


def choose(measured):
    """The candidates that meet the conditions, the best first: the criterion, in code."""
    bars = measured["worst far"] >= FAR_BAR, measured.accuracy >= ACCURACY_BAR, measured["pens, refused"] <= PENS_BAR
    return measured[np.logical_and.reduce(bars)].sort_values("near", ascending=False)


def nested(lines):
    """What the winner's figure owes to luck: a dict for each seed that is left out, and each half of the images.

    promised: of the winner, where it was chosen; kept: of the same, on what was left out. What is left out may be
    easier or harder for all: ``luck`` is promised − kept, less the median of this difference over all candidates, and
    ``luck in kind`` less the median over those with the same kind of network.
    """
    answer = []
    for seed in SEEDS:
        for part, other in (IMAGES, IMAGES[::-1]):
            promised = candidates(lines[lines.seed != seed], [part])
            kept = candidates(lines[lines.seed == seed], [other])
            winner = choose(promised).index[0]
            lost = promised.near - kept.near
            answer.append(
                {"seed": seed, "chosen": ": ".join(winner)}
                | {"promised": promised.near[winner], "kept": kept.near[winner], "luck": lost[winner] - lost.median()}
                | {"luck in kind": lost[winner] - lost.loc[winner[0]].median()}
            )
    return answer


def log(lines):
    """What the table says, in words: the best, the best of each kind and of each bare score, the luck."""
    measured = candidates(lines)
    ranked, best = choose(measured), measured.sort_values("near", ascending=False)
    kind, rule = ranked.index[0]
    return (
        f"{len(RACING) * len(SEEDS) * 2} trainings, {len(measured) // len(RACING)} rules, {len(measured)} candidates; "
        f"alpha = {ALPHA:.0%}.\n"
        f"Criterion: at least {ACCURACY_BAR:.0%} of known digits answered rightly; of each far world at least\n"
        f"{FAR_BAR:.0%} refused by every network of the kind; of digits drawn with other pens at most {PENS_BAR:.0%};\n"
        f"then the largest mean of letters (no look-alikes) and held-out digits refused.\n"
        f"{len(ranked)} candidates meet the conditions. The best twenty, means over {len(SEEDS)} seeds:\n\n"
        f"{_text(ranked.head(20))}\n\n"
        f"The best of each kind of network, conditions or not:\n\n"
        f"{_text(best.groupby('kind').head(1))}\n\n"
        f"Single scores on the kind of the winner:\n\n"
        f"{_text(measured.loc[[(kind, name) for name in SINGLE]])}\n\n"
        f"Trained when the choice had been made, by kNN and by the winner's rule:\n\n"
        f"{_text(candidates(lines, kinds=LATER).loc[(slice(None), ['kNN', rule]), :])}\n\n"
        f"Nested choice:\n\n{pd.DataFrame(nested(lines)).to_string(index=False, float_format='{:.4f}'.format)}\n"
    )


def _text(measured):
    return measured.reset_index().to_string(index=False, float_format="{:.4f}".format)


SHOWN = (
    *SINGLE, "kNN + kNN 0", "kNN + 0.25 Gaussian", "kNN + 0.25 energy", "kNN + 0.25 Gaussian + 0.25 energy",
    "kNN + 0.25 Gaussian + 0.25 relative Mahalanobis", "kNN + 0.5 Gaussian + 0.5 energy",
    "kNN in class + 0.25 Gaussian + 0.25 energy", "kNN (0.8) or PCA residual (0.2)",
    "kNN + 0.25 Gaussian + 0.25 energy (0.8) or PCA residual (0.2)",
)  # fmt: skip
"""The rules that chapter 8 shows."""
MEASURES = ("near", *NEAR, *FAR, "accuracy", "false refusals", *(f"{world}, {how}" for world in PENS for how in HOWS))


def summary():
    """What ``reference.json`` says of the race: its size, the winner, and what each kind and each rule shown measure,
    by seed; and what luck did."""
    lines = pd.read_csv(TABLE)
    measured = candidates(lines)
    ranked, folds = choose(measured), pd.DataFrame(nested(lines))
    kind, rule = ranked.index[0]
    close = [name for other, name in ranked.index[:4] if other == kind]
    alone = folds[["promised", "kept", "luck", "luck in kind"]]
    taken = with_means(lines[(lines.kind == MADE_UP) & lines.rule.isin([MADE_UP, "kNN"])].sort_values("seed"))
    by_class, by_distance = (taken[taken.rule == name] for name in (MADE_UP, "kNN"))
    return {
        "trainings": len(RACING) * len(SEEDS) * 2,
        "rules": len(measured) // len(RACING),
        "candidates": len(measured),
        "met": len(ranked),
        "seeds": list(SEEDS),
        "six": [list(known) for known in race.SIX],
        "winner": {"kind": kind, "rule": rule},
        "ranked": [" / ".join(name) for name in ranked.index[:10]],
        "by_kind": {name: {one: by_seed(lines, name, one) for one in ("kNN", rule)} for name in KINDS},
        "by_rule": {name: by_seed(lines, kind, name) for name in dict.fromkeys((*SHOWN, *close))},
        "made_up": {world: by_class[world].tolist() for world in (*NEAR, *HALVES)}
        | {"halves by kNN": by_distance["halves"].tolist()},
        "nested": {key: {"mean": alone[key].mean(), "std": alone[key].std()} for key in alone}
        | {"folds": folds.to_dict("records")},
    }


def by_seed(lines, kind, rule):
    """What a candidate measures: dict measure → a number a seed."""
    part = with_means(lines[(lines.kind == kind) & (lines.rule == rule)]).sort_values("seed")
    return {measure: part[measure].tolist() for measure in MEASURES}


def main():
    """Make the rows, and write the table and what it says."""
    options = study.options(__doc__, anywhere=True)
    for world in ("mnist", "letters", "patches", "noise", "empty", "pixel-digits"):  # once, before many ask for it
        data.load(world)
    lines = race.table(study.rows(race.row, race.configurations(), ROWS, **options))
    study.write(TABLE, lines.round(5))
    study.write(LOG, log(lines))
    print(LOG.read_text())


if __name__ == "__main__":
    study.start(main)
