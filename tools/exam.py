"""A bank of exam questions. Numbers and order differ by seed; what osrlib can compute, it computes for the key.

To add a question: a function of a random generator that returns a :class:`Question`, and its name in ``TEMPLATES``.
What the text prints stands in ``given`` too, so that a test can work the answer out in another way.
"""

import random
from typing import NamedTuple

import numpy as np
import torch
from skimage.filters import threshold_otsu
from torch import nn

from osrlib import losses, metrics, models, promise, scores, thresholds
from osrlib.output import Output


class Question(NamedTuple):
    """One question. text and why: Markdown, values: what to compute, in the order of the text."""

    chapter: int
    title: str
    given: dict
    text: str
    values: tuple
    why: str


def _array(values):
    return np.array(values, np.float64)


def _listed(values, form=".2f"):
    return ", ".join(format(value, form) for value in values)


def _hundredths(chance, count, low=2, high=98):
    """Different numbers with two decimals, in random order."""
    return [value / 100 for value in chance.sample(range(low, high), count)]


def _percent(share):
    return f"{100 * share:g} %"


def _ten_scores(chance):
    """Scores of six known and four unknown images that are told apart neither fully nor not at all."""
    while True:
        values = _hundredths(chance, 10)
        known, unknown = values[:6], values[6:]
        if 0.6 < metrics.auroc(_array(known), _array(unknown)) < 0.95:
            return known, unknown


def softmax(chance):
    logits = [chance.randint(-2, 6) for _ in range(4)]
    logits[chance.randrange(4)] = top = max(logits) + 1
    score = float(scores.msp(Output(_array([logits])))[0])
    return Question(
        1, "Softmax", {"logits": logits},
        f"A classifier of four classes gives an image the logits {_listed(logits, 'd')}. (a) What is its largest "
        "softmax probability, and what its score, one minus that? (b) All four logits fall by 3, because the image is "
        "strange. What happens to the score, and what follows for a detector?",
        (1 - score, score),
        f"The largest logit is {top}. (b) Nothing: the softmax sees differences alone. That no class fits cannot be "
        "said in it.",
    )  # fmt: skip


def quantile(chance):
    known, share = _hundredths(chance, 20), chance.choice([0.8, 0.85, 0.9, 0.95])
    new = [round(value + 0.005, 3) for value in _hundredths(chance, 5, 60)]
    line = thresholds.Quantile(share).fit(_array(known))
    return Question(
        1, "A line at a quantile", {"known": known, "share": share, "new": new},
        f"Twenty known images have the scores {_listed(known)}. (a) Set the line at the {_percent(share)} quantile: "
        f"the smallest score that {_percent(share)} of them do not exceed. How many of five new images, with the "
        f"scores {_listed(new, '.3f')}, are refused? (b) The network was trained on the twenty. Which way is the "
        "price of new known images likely to be wrong?",
        (line.value, int(line.reject(_array(new)).sum())),
        f"The {share * 20:.0f}th smallest of 20. (b) Too high: images that it was trained on look more familiar to it "
        "than new ones, so the line lies too low.",
    )  # fmt: skip


def auroc(chance):
    known, unknown = _ten_scores(chance)
    return Question(
        2, "AUROC by hand", {"known": known, "unknown": unknown},
        f"Six known images have the scores {_listed(known)}, four unknown ones {_listed(unknown)}. (a) Compute "
        "the AUROC by pairs. (b) Each unknown image is copied twice more. What happens to the AUROC, and what to the "
        "AUPR with the unknown images as positives?",
        (metrics.auroc(_array(known), _array(unknown)),),
        "The share of the 24 pairs in which the unknown image has the larger score. (b) The AUROC stays: it is a share "
        "of pairs. The AUPR rises, if it was below 1: it depends on the mixture.",
    )  # fmt: skip


def fpr(chance):
    known, unknown = _ten_scores(chance)
    pair = [metrics.fpr_at_95(_array(known), _array(unknown), kind) for kind in ("known", "unknown")]
    return Question(
        2, "FPR@95, twice", {"known": known, "unknown": unknown},
        f"Six known images have the scores {_listed(known)}, four unknown ones {_listed(unknown)}. (a) Give both "
        "numbers that are called FPR@95: with the known images as positives, and with the unknown ones. (With so few, "
        "95 % means all.) (b) A paper prints one FPR@95. What must it say besides?",
        tuple(pair),
        "First accept all known images and count the unknown ones accepted; then refuse all unknown ones and count the "
        "known ones refused. (b) Which kind is positive, and on how many images of which world.",
    )  # fmt: skip


def oscr(chance):
    known, unknown = _ten_scores(chance)
    correct = [True] * 6
    for wrong in chance.sample(range(6), 2):
        correct[wrong] = False
    line = sorted(known + unknown)[chance.randint(4, 6)] + 0.005
    accepted = [value <= line for value in known]
    curve = metrics.oscr(_array(known), np.array(correct), _array(unknown))
    reached = int(np.searchsorted(np.sort(_array(known + unknown)), line)) - 1
    point = curve.false_positive_rate[reached + 1], curve.correct_classification_rate[reached + 1]
    told = ", ".join(f"{v:.2f} ({'right' if c else 'wrong'})" for v, c in zip(known, correct, strict=True))
    return Question(
        2, "A point on the OSCR curve", {"known": known, "correct": correct, "unknown": unknown, "line": line},
        f"Six known images have the scores {told}; in brackets, whether the class named is right. Four unknown ones "
        f"have {_listed(unknown)}. The line is {line:.3f}. (a) Where on the OSCR curve is this: which share of the "
        "unknown images is accepted, and which share of the known ones is accepted *and* right? (b) What can the area "
        "under the curve never exceed?",
        tuple(map(float, point)),
        f"{sum(accepted)} known images are accepted. (b) The closed-set accuracy, here 4/6.",
    )  # fmt: skip


def openness(chance):
    training = chance.randint(4, 8)
    testing = training + chance.randint(2, 12)
    return Question(
        2, "Openness", {"training": training, "testing": testing},
        f"A network learns {training} classes and meets {testing} in testing, its own among them. (a) Compute the "
        "openness, 1 − √(2 · C / (C + T)), with C classes in training and T in testing. (b) Two problems have the "
        "same openness. Are they equally hard?",
        (metrics.openness(training, testing),),
        "(b) No: the number says how many classes are unknown and nothing about how near they are.",
    )  # fmt: skip


def relative_error(chance):
    errors = [chance.randint(20, 90) for _ in range(5)]
    errors[chance.randrange(5)] = chance.randint(8, 18)
    output = Output(np.zeros((1, 5)), errors=_array([errors]))
    values = [float(scores.class_error(output, relative=flag)[0]) for flag in (False, True)]
    return Question(
        3, "Five orders", {"errors": errors},
        f"A class-conditioned autoencoder draws one image under five orders. The errors are {_listed(errors, 'd')}. "
        "(a) What is the smallest error, and what is it relative to the mean of the other four? (b) Suppose that an "
        "image without any stroke is drawn well, and about equally well, under every order. Which score notices?",
        tuple(values),
        "(b) The relative one: no order fits better than the others, so it is near 1. The smallest error is small.",
    )  # fmt: skip


def gram(chance):
    maps = [[chance.randint(0, 4) for _ in range(4)] for _ in range(2)]
    maps[0][0] += 1  # no map is empty
    maps[1][3] += 1
    matrix = losses.gram_matrix(torch.tensor([maps], dtype=torch.float64))[0]
    return Question(
        4, "A Gram matrix", {"maps": maps},
        f"Two maps of four positions each: ({_listed(maps[0], 'd')}) and ({_listed(maps[1], 'd')}). (a) Give the three "
        "different entries of the Gram matrix, F Fᵀ divided by maps times positions: first, mixed, second. (b) The "
        "positions of both maps are shuffled in the same way. What does the style loss to the original say?",
        tuple(float(matrix[i, j]) for i, j in ((0, 0), (0, 1), (1, 1))),
        "(b) Zero: the matrix says what occurs together and not where.",
    )  # fmt: skip


def parameters(chance):
    inputs, outputs = chance.choice([16, 32, 64]), chance.choice([10, 20, 128])
    first, second = chance.choice([1, 3]), chance.choice([8, 16, 32])
    layers = nn.Conv2d(first, second, 3), nn.BatchNorm2d(second), nn.Linear(inputs, outputs)
    return Question(
        5, "Count parameters", {"inputs": inputs, "outputs": outputs, "first": first, "second": second},
        f"A network has a convolution of 3×3 from {first} to {second} channels, a batch normalisation of these, and, "
        f"further on, a linear layer from {inputs} to {outputs}; all with biases. (a) How many parameters does each of "
        "the three train? (b) Two networks have the same layer table. Must they compute the same?",
        tuple(float(models.count_parameters(layer)) for layer in layers),
        "(b) No: the table is silent about pooling, activations, and what stands between the rows.",
    )  # fmt: skip


def otsu(chance):
    while True:
        counts = [chance.randint(0, 4) for _ in range(6)]
        picture = np.repeat(np.arange(6), counts)
        cuts = sorted((_between(picture, cut) for cut in range(5)), reverse=True)
        if sum(counts) >= 9 and counts[0] and counts[5] and cuts[0] > cuts[1] * 1.02:
            break
    level = int(threshold_otsu(picture))
    rows = ", ".join(f"{count} of grey {grey}" for grey, count in enumerate(counts))
    return Question(
        6, "Otsu's level by hand", {"counts": counts},
        f"A tiny picture has these pixels: {rows}. (a) Which is the largest grey that Otsu's level calls black, and "
        "how many pixels are white? (The level makes the product of both shares and the squared distance of both "
        "means largest.) (b) The report took one level for a whole batch of pictures. What is wrong with that?",
        (level, int((picture > level).sum())),
        "(b) The answer to an image then depends on who else is in the batch.",
    )  # fmt: skip


def _between(picture, cut):
    white = picture > cut
    if white.all() or not white.any():
        return 0.0
    return white.mean() * (1 - white.mean()) * (picture[white].mean() - picture[~white].mean()) ** 2


def mean_std(chance):
    known, k = [chance.randint(10, 40) for _ in range(8)], chance.choice([2, 3])
    return Question(
        6, "Mean plus k·std", {"known": known, "k": k},
        f"Eight known scores: {_listed(known, 'd')}. (a) Where is the line at mean + {k}·std (divide by 8), and which "
        "share of these scores does Cantelli's inequality allow beyond it at most? (b) \"Two sigma means 2.3 %.\" What "
        "does this sentence assume?",
        (thresholds.MeanStd(k).fit(_array(known)).value, 1 / (1 + k**2)),
        "(b) That the scores follow a bell curve. Another distribution may have up to 20 % beyond.",
    )  # fmt: skip


def conformal(chance):
    alpha, n = chance.choice([0.01, 0.02, 0.05]), chance.choice([199, 250, 499, 640, 999, 1200])
    line = thresholds.Conformal(alpha)
    rank = line.rank(n)
    return Question(
        6, "A conformal line", {"alpha": alpha, "n": n},
        f"A conformal line is set with α = {_percent(alpha)} by {n} known images. (a) Which of the sorted scores is "
        "it, counted from the smallest; how many images would have been enough; and what share of new known images "
        "does it refuse on average over calibrations? (b) What does it promise about unknown images?",
        (rank, line.needs, (n + 1 - rank) / (n + 1)),
        "Rank ⌈(n+1)(1−α)⌉; at least 1/α − 1 images; (n+1−rank)/(n+1). (b) Nothing.",
    )  # fmt: skip


def cost(chance):
    known, unknown = _ten_scores(chance)
    lines = sorted(value / 100 + 0.005 for value in chance.sample(range(25, 90, 5), 2))
    share, ratio = chance.choice([0.1, 0.2, 0.5]), chance.choice([2, 5, 20])
    costs = metrics.expected_cost(_array(known), _array(unknown), _array(lines), share, ratio)
    return Question(
        6, "What a mistake costs",
        {"known": known, "unknown": unknown, "lines": lines, "share": share, "ratio": ratio},
        f"Known images have the scores {_listed(known)}, unknown ones {_listed(unknown)}. A share of "
        f"{_percent(share)} of what comes is unknown. A false alarm costs 1, a missed unknown {ratio}. (a) What "
        f"does an image cost on average with the line at {lines[0]:.3f}, and what with {lines[1]:.3f}? (b) Which "
        "way does the cheapest line move when a missed unknown becomes dearer?",
        tuple(map(float, costs)),
        "(b) To smaller scores, so that more is refused.",
    )  # fmt: skip


def confusion(chance):
    matrix = [[chance.randint(0, 6) for _ in range(4)] for _ in range(4)]
    for i in range(4):
        matrix[i][i] += chance.randint(40, 90)
    true = np.repeat(np.arange(4), np.sum(matrix, axis=1))
    predicted = np.concatenate([np.repeat(np.arange(4), row) for row in matrix])
    report = metrics.osr_report(true, predicted, unknown=3)
    rows = "\n".join(f"| {name} | {' | '.join(map(str, row))} |" for name, row in zip("ABCU", matrix, strict=True))
    return Question(
        7, "Three accuracies", {"matrix": matrix},
        "Three classes A, B, C and U, unknown. Rows are the truth, columns the answer:\n\n| | A | B | C | U "
        f"|\n|---|---|---|---|---|\n{rows}\n\n(a) Compute the accuracy on known images, on unknown ones, and the "
        "total. (b) Somebody brings ten times as many unknown images of the same kind. Which of the three numbers "
        "changes, and is the detector better or worse now?",
        (report.mnist, report.ood, report.total),
        "A refused known image counts as an error. (b) The total alone, towards the accuracy on unknown images. The "
        "detector is the same.",
    )  # fmt: skip


def p_value(chance):
    calibration, new = _hundredths(chance, 19), [value + 0.005 for value in _hundredths(chance, 2, 40)]
    line = thresholds.Conformal(0.05).fit(_array(calibration))
    return Question(
        8, "A conformal p-value", {"calibration": calibration, "new": new},
        f"Nineteen calibration scores: {_listed(calibration)}. (a) Give the p-values of two new images with the scores "
        f"{_listed(new, '.3f')}. (b) An image has p = 0.05. Is it known with a probability of 5 %?",
        tuple(map(float, line.p_values(_array(new)))),
        "The share of the 20 scores, the new one among them, that are at least as large. (b) No: of *known* images, "
        "at most 5 % have a p-value of 0.05 or less, on average over calibrations. How probable it is that this one is "
        "known depends on how many unknown ones come.",
    )  # fmt: skip


def union(chance):
    alphas = [chance.randint(2, 9) / 1000 for _ in range(3)]
    p_values = [chance.randint(2, 90) / 1000 for _ in range(3)]
    joint = thresholds.union_bound(_array(p_values)[:, None], _array(alphas))
    shares = ", ".join(map(_percent, alphas))
    return Question(
        8, "Three keys, one promise", {"alphas": alphas, "p_values": p_values},
        f"Three keys may refuse α = {shares} of the known images; an image is refused if at least one key refuses it. "
        "(a) What is promised of all three together? An image has the p-values "
        f"{_listed(p_values, '.3f')}: what is its joint one, the smallest of the three products "
        "p_i · (α_1 + α_2 + α_3) / α_i? (b) In a test the three refuse less together. May the promise be lowered to "
        "that?",
        (sum(alphas), float(joint[0])),
        "At most the sum: the union bound, however the keys depend on each other. (b) No: how much they overlap is a "
        "fact about these images and no promise.",
    )  # fmt: skip


def mixture(chance):
    refused = [chance.randint(90, 160), chance.randint(165, 199)]
    shares = [chance.choice([0.1, 0.2, 0.3]), chance.choice([0.6, 0.7, 0.8])]
    rates = [(share * refused[0] + (1 - share) * refused[1]) / 200 for share in shares]
    return Question(
        8, "What it detects", {"refused": refused, "shares": shares},
        f"Of 200 letters a detector refuses {refused[0]}, of 200 photographs {refused[1]}. (a) Which share of the "
        f"unknown images does it refuse where {_percent(shares[0])} of them are letters and the others photographs? "
        f"And where {_percent(shares[1])} are letters? (b) What would you have to know about the unknown to promise a "
        "detection rate?",
        tuple(rates),
        "Each world's rate, weighed by its share. (b) Which worlds will come, in which shares, and how their images "
        "are distributed; and then they are not unknown. A measured rate is a fact about the images that were tried.",
    )  # fmt: skip


def paired(chance):
    first = [round(0.9 + chance.randint(0, 80) / 1000, 3) for _ in range(5)]
    second = [round(value + chance.randint(1, 18) / 1000, 3) for value in first]
    differences = _array(second) - _array(first)
    return Question(
        9, "Paired differences", {"first": first, "second": second},
        f"On five splits, one method has an AUROC of {_listed(first, '.3f')}, another, on the same splits in the same "
        f"order, {_listed(second, '.3f')}. (a) Give the mean of the paired differences, second minus first, and their "
        "standard deviation (divide by 4). (b) Why look at differences and not at the two means with their spreads?",
        (float(differences.mean()), float(differences.std(ddof=1))),
        "(b) A hard split is hard for both. The difference takes that out; the spreads of the two lists hold it twice.",
    )  # fmt: skip


def none_of(chance):
    n = chance.choice([20, 30, 50, 60, 100, 150, 300])
    return Question(
        11, "None of them got in", {"n": n},
        f"Of {n} unknown images, drawn independently, a detector let none in. (a) At most which share would get in, by "
        "the interval of Clopper and Pearson at a level of 95 % (two-sided: 2.5 % at its upper end)? And by the *rule "
        "of three*, 3/n, which is one-sided? (b) The images were also used to choose the detector. What does the "
        "interval say then?",
        (promise.share_interval(0, n)[1], 3 / n),
        "The share q at which (1 − q)ⁿ = 0.025. (b) Nothing that may be relied on: it needs images that had no part in "
        "the choice.",
    )  # fmt: skip


def dirty(chance):
    alpha = chance.choice([0.02, 0.03, 0.05])
    dirt = chance.choice([0.005, 0.01, 0.015])
    return Question(
        11, "Dirty calibration images", {"alpha": alpha, "dirt": dirt},
        f"A share of {_percent(dirt)} of many calibration images is unknown after all; α = {_percent(alpha)}. (a) "
        "Between which shares does the price, the share of known images refused, lie on average? (b) In use the "
        "price falls below α. Why may that be bad news?",
        (max(alpha - dirt, 0) / (1 - dirt), alpha / (1 - dirt)),
        "(α − ε)/(1 − ε) if all unknown ones lie beyond the line, α/(1 − ε) if none does. (b) The unknown images may "
        "have pushed the line outwards, so that others of their kind get in.",
    )  # fmt: skip


def discoveries(chance):
    share = chance.choice([0.1, 0.2])
    while True:
        small = [value / 1000 for value in chance.sample(range(1, 60), 4)]
        p_values = small + [value / 1000 for value in chance.sample(range(60, 990), 6)]
        called = promise.discoveries(_array(p_values), share)
        if 2 <= called.sum() <= 6:
            break
    chance.shuffle(p_values)
    called = promise.discoveries(_array(p_values), share)
    return Question(
        11, "Discoveries among ten", {"p_values": p_values, "share": share},
        f"Ten images have the p-values {_listed(p_values, '.3f')}. (a) How many does the procedure of Benjamini and "
        f"Hochberg call unknown at q = {_percent(share)}, and what is the largest p-value among those? (b) Which of "
        "the images called are known?",
        (int(called.sum()), max(p for p, one in zip(p_values, called, strict=True) if one)),
        "The largest k whose k-th smallest p-value is at most q·k/10. (b) Nobody can say: on average, at most a "
        "share q of those called is known.",
    )  # fmt: skip


TEMPLATES = (
    softmax, quantile, auroc, fpr, oscr, openness, relative_error, gram, parameters, otsu, mean_std, conformal, cost,
    confusion, p_value, union, mixture, paired, none_of, dirty, discoveries,
)  # fmt: skip
"""Every question of the bank."""
POINTS = 5
"""Three for what is computed, two for the reason. A question takes about as many minutes."""


def questions(seed, chapters, count=6):
    """Some of these chapters' questions, in random order, with random numbers.

    seed: a text; the same one gives the same exam.
    """
    chance = random.Random(seed)
    bank = [template(chance) for template in chance.sample(TEMPLATES, len(TEMPLATES))]
    if odd := set(chapters) - {one.chapter for one in bank}:
        raise ValueError(f"chapters: the bank has no question of {named(odd)}")
    asked = [one for one in bank if one.chapter in chapters]
    if not 1 <= count <= len(asked):
        raise ValueError(f"count: expected at least 1, at most the {len(asked)} of {named(chapters)}, got {count}")
    return asked[:count]


def named(chapters):
    """Chapters in words: "chapters 1, 2 and 5"."""
    *most, last = map(str, sorted(set(chapters)))
    return f"chapters {', '.join(most)} and {last}" if most else f"chapter {last}"


def number(value):
    """A number as the key prints it: four digits that count."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def variant(seed):
    """The number by which an exam is called: its seed would give the key away."""
    return random.Random(f"{seed}: variant").randrange(1000, 10000)


def texts(seed, chapters, count=6):
    """An exam and its key, in Markdown."""
    asked = questions(seed, chapters, count)
    head = (
        f"{count} questions on {named(chapters)}, {POINTS * count} points, {POINTS * count} minutes. (a): 3 points, "
        "with the way to the result; (b): 2 points, in one or two sentences. A scientific calculator is enough. In all "
        "questions a larger score means *more unknown*, and an image is refused if its score is larger than the line."
    )
    lines = [f"# Open-set recognition · exam {variant(seed)}\n\nName: {'_' * 40}\n\n{head}\n"]
    note = "Four digits that count; what is asked, in order."
    made = f"{count} questions on {named(chapters)}, made from the seed {seed}"
    key = [f"# Key to exam {variant(seed)}\n\n{made}. {note}\n"]
    for i, one in enumerate(asked, 1):
        lines.append(f'<section>\n\n## {i} · {one.title}\n\n{one.text}\n\n<div class="box high"></div>\n\n</section>\n')
        values = "; ".join(map(number, one.values))
        key.append(f"## {i} · {one.title} (chapter {one.chapter})\n\n(a) **{values}**. {one.why}\n")
    return "\n".join(lines), "\n".join(key)
