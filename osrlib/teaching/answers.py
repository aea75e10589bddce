"""The checks of the book's exercises: what is right, and what each wrong answer deserves to hear."""

from functools import cache
from itertools import pairwise

import numpy as np
import scipy
import torch
from PIL import Image

from osrlib import UNKNOWN, data, losses, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import Output, infer
from osrlib.teaching.exercises import check, expect, function, numbers, same


@cache
def said(world, size=500):
    """What the published autoencoder says of some images of a world."""
    output = infer(zoo.load("mtae"), data.load(world).sample(size, seed=11).images)
    for part in output.parts.values():
        part.flags.writeable = False  # what one answer does in place, the next must not see
    return output


@check("1.1")
def softmax_forgets(answer):
    """The largest softmax probability of (2, 1, 0, …) and of (12, 11, 10, …)."""
    low, high = numbers(answer, 2, "two probabilities")
    right = np.exp(2) / (np.exp(2) + np.exp(1) + 8)
    expect(not (same([low, high], [1 - right] * 2)), "That is what is left for the other nine. Take the largest one.")
    expect(not high > low + 1e-3, "Softmax divides exp(12) by a sum that has grown by the same factor, exp(10).")
    expect(same([low, high], [right, right]), "Divide exp(2) by the sum of all ten exponentials, the eight zeros too.")
    return "Adding 10 to every logit changes nothing: the softmax sees differences only."


@check("1.2")
def flipped_sign(answer):
    """``refused(known, new)``: which new images does a line refuse that costs 5 % of the known ones?"""
    refused, known, new = function(answer, "refused(known, new)"), said("mnist"), said("letters")
    on_known, on_new = (np.asarray(refused(known, one)) for one in (known, new))
    expect(on_new.dtype == bool and on_new.shape == (500,), "Expected True or False for each new image.")
    expect(on_known.mean() <= 0.06, "It refuses far more than 5 % of the known images.")
    expect(
        on_new.mean() > 0.15,
        "It refuses what the network is surest of. A line refuses what is larger: is confidence large for the unknown?",
    )
    wanted = thresholds.Quantile(0.95).fit(scores.msp(known)).reject(scores.msp(new))
    expect(same(on_new, wanted), "The sign is right, but this is not the 95 % quantile of the known images' scores.")
    return "Larger means more unknown; one convention, everywhere."


@check("1.3")
def one_more(answer):
    """``one_more(accuracies)``: between which two values the next training lies, in 95 % of cases."""
    interval, random = function(answer, "one_more(accuracies)"), np.random.default_rng(0)
    for count in (5, 12):
        pairs = [numbers(interval(draws), 2, "two numbers") for draws in random.normal(0.8, 0.05, (2000, count))]
        low, high = np.transpose(pairs)
        expect((low < high).all(), "Expected two numbers, the lower one first.")
        inside = float(np.diff(scipy.special.ndtr((np.array([low, high]) - 0.8) / 0.05), axis=0).mean())
        told = f"After {count} trainings, the next one lies within your interval in {inside:.1%} of cases."
        expect(inside > 0.75, f"{told} Is it one for their mean? The next training varies by more than the mean does.")
        expect(
            inside > 0.944,
            f"{told} It is a little too narrow: the mean and the width are themselves known from {count} draws only.",
        )
        expect(inside < 0.956, f"{told} It is too wide.")
    return "A training has to fall outside of this before it calls for an explanation."


@check("2.1")
def weight_of_worlds(answer):
    """The total accuracy with 10,000 images of each of three worlds, and with 20,000 photographs and no clothes."""
    values = numbers(answer, 2, "two shares")
    expect(not (values > 1).any(), "Write shares between 0 and 1: 0.9 for 90 %.")
    expect(not same(values[1], 0.978), "20,000 photographs weigh twice as much as 10,000 digits.")
    expect(not same(values[0], (0.96 + 0.948) / 2), "Each image weighs the same, so each of the three worlds does.")
    expect(same(values, [0.952, 0.984]), "Add up the right answers of all worlds and divide by all images.")
    return "The same detector, three points apart, by the choice of worlds alone."


@check("2.2")
def leaked_line(answer):
    """``fit_line(training, known, unknown)``: a threshold that owes nothing to the images that judge it."""
    fit_line, random = function(answer, "fit_line(training, known, unknown)"), np.random.default_rng(0)
    training, known, unknown = random.normal(0, 1, 4000), random.normal(0.2, 1, 500), random.normal(2, 1, 500)
    line = fit_line(training, known, unknown).value
    expect(
        fit_line(training, known, unknown + 1).value == line,
        "The line moves when other unknown images come. What is tuned on unknown images does not refuse the unknown.",
    )
    expect(
        fit_line(training, known + 1, unknown).value == line,
        "The line moves with the test digits, the ones by which it is then judged.",
    )
    price = (training > line).mean()
    expect(fit_line(training + 1, known, unknown).value != line, "The line does not move with the training digits.")
    expect(
        0.001 <= price <= 0.1, f"This line refuses {price:.0%} of the training digits. Set a price that one would pay."
    )
    return "Only training digits had a say."


@check("2.3")
def refuse_everything(answer):
    """Total accuracy, AUROC and macro-F1 of a detector that refuses all of 10,000 digits and 20,000 unknown images."""
    total, area, f1 = numbers(answer, 3, "three numbers: total accuracy, AUROC, macro-F1")
    expect(same(total, 2 / 3), "The total counts right answers: all 20,000 unknown images, none of the digits.")
    expect(same(area, 0.5), "All scores are equal, so every pair is a tie, and a tie counts one half.")
    expect(not same(f1, 0.8), "0.8 is the F1 of the class unknown. The mean is over eleven classes.")
    expect(same(f1, 0.8 / 11), "Ten classes have an F1 of 0; unknown has precision 2/3 and recall 1.")
    return "The total praises it, the AUROC sees a coin, the macro-F1 is lowest."


@check("3.1")
def drawings(answer):
    """Drawings a second at 10,000 images a minute: the autoencoder, C2AE with 10 and with 100 classes."""
    values = numbers(answer, 3, "three numbers: the autoencoder, C2AE with 10 classes, with 100")
    once = 10_000 / 60
    expect(not same(values, [10_000, 1e5, 1e6]), "These are drawings a minute.")
    expect(same(values[0], once), "The multi-task autoencoder draws each image once.")
    expect(same(values, [once, 10 * once, 100 * once]), "C2AE draws each image once for every class.")
    return "The price of conditioning grows with the number of classes."


@check("3.2")
def peeking(answer):
    """``unknownness(output, labels)``: C2AE's score, without a look at the labels."""
    score, random = function(answer, "unknownness(output, labels)"), np.random.default_rng(0)
    errors = random.gamma(4, 1, (200, 10))
    output = Output(random.normal(0, 1, (200, 10)), None, errors=errors)
    first, second = (np.asarray(score(output, random.integers(0, 10, 200))) for _ in range(2))
    expect(first.shape == (200,), "Expected one number an image.")
    expect(same(first, second), "The score changes with the labels. Nobody hands over the label of an unknown image.")
    expect(not same(first, errors.mean(1)), "The mean error is large as soon as nine orders do not fit, as ever.")
    expect(not same(first, errors.max(1)), "The largest error belongs to the worst order. One good drawing is enough.")
    expect(same(first, errors.min(1)), "The paper takes the smallest error over all orders.")
    return "The smallest error needs no label."


@check("3.3")
def one_order(answer):
    """``one_drawing(output)``: the error under the order that the classifier guesses."""
    score, random = function(answer, "one_drawing(output)"), np.random.default_rng(1)
    errors, logits = random.gamma(4, 1, (200, 10)), random.normal(0, 1, (200, 10))
    got = np.asarray(score(Output(logits, None, errors=errors)))
    expect(not same(got, errors.min(1)), "That is the smallest of ten errors, so all ten were drawn.")
    expect(
        same(got, errors[np.arange(200), logits.argmax(1)]),
        "Take each image's error in the column of its largest logit.",
    )
    return "One drawing an image, as in the multi-task autoencoder."


@check("4.1")
def gram_by_hand(answer):
    """The Gram matrix of [[1, 0, 2], [0, 3, 1]] with the factor 1/(CX), and another picture with the same one."""
    expect(
        isinstance(answer, tuple | list) and len(answer) == 2, "Expected two arrays: the Gram matrix, another picture."
    )
    gram, other = (np.asarray(part, dtype=float).squeeze() for part in answer)
    whole = np.array([[5.0, 2.0], [2.0, 10.0]])
    expect(not same(gram, whole), "The factor 1/(CX) is missing: two rows, three columns.")
    expect(not same(gram, whole / 3), "Divided by the columns only. CX is 2 · 3.")
    expect(gram.shape == (2, 2), "Two rows make a Gram matrix of 2×2: row times row, not column times column.")
    expect(same(gram, whole / 6), "The entry of rows i and j is the sum of their products, divided by 6.")
    picture = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])
    expect(other.ndim == 2 and len(other) == 2, "The other picture needs two rows as well.")
    expect(not same(other, picture), "That is the same picture.")
    expect(
        same(other @ other.T / other.size, gram), "The other picture has another Gram matrix. What does a sum not see?"
    )
    return "A sum over columns does not see their order."


@check("4.2")
def folded_batch(answer):
    """``style(features, target)``: the style loss of each image of a batch, [N]."""
    style, random = function(answer, "style(features, target)"), torch.Generator().manual_seed(0)
    features, target = (torch.rand(6, 4, 9, generator=random) for _ in range(2))
    got = torch.as_tensor(style(features, target))
    expect(got.shape == (6,), "Expected one number an image.")
    alone = torch.cat([torch.as_tensor(style(features[i : i + 1], target[i : i + 1])) for i in range(6)])
    expect(same(alone, got), "An image's score changes with the images beside it: the batch is folded into the rows.")
    wanted = losses.style_loss(features, target)
    expect(not same(got / got[0], wanted / wanted[0]) or same(got, wanted), "Right but for a factor. Divide by CX.")
    expect(same(got, wanted), "One Gram matrix an image, the mean of the squared differences of its entries.")
    return "No image's score depends on its neighbours."


@check("4.3")
def gram_orders(answer):
    """A dict from orders to the AUROC on letters; three single orders at least."""
    expect(isinstance(answer, dict) and len(answer) >= 3, "Expected a dict with three choices of orders at least.")
    areas = numbers(answer, len(answer), "an AUROC for each choice")
    expect((areas <= 1).all() and (areas >= 0).all(), "An AUROC lies between 0 and 1.")
    expect((areas > 0.5).all(), "Below one half: known first, unknown second; larger is more unknown.")
    expect((areas > 0.7).all(), "Lower than the network should give. Are the bounds taken from training digits?")
    return "Every choice beats a coin by far; a hundredth between two of them is chance."


@check("5.1")
def decoder_parameters(answer):
    """The number of the decoder's parameters."""
    (count,) = numbers(answer, 1, "a number")
    hints = {
        412_801 + 1_419: "That is the whole model.", 205_728: "That is the encoder.",
        207_041: "Right but for the batch normalisation: it scales and shifts each of 16 channels.",
        205_488: "Right but for the biases and the batch normalisation.", 205_520: "Right but for the biases.",
        202_272: "That is the linear layer alone.",
    }  # fmt: skip
    expect(count not in hints, hints.get(count))
    expect(count == 207_073, "Add the linear layer, two transposed convolutions and one batch normalisation.")
    return "The linear layer alone holds 202,272 of them."


@check("5.2")
def leaked_unknowns(answer):
    """``training_set(digits, letters)``: the images on which the detector may train."""
    pick, digits, letters = function(answer, "training_set(digits, letters)"), data.load("mnist"), data.load("letters")
    digits, letters = digits.sample(300, seed=1), letters.sample(300, seed=1)
    got = pick(digits, letters)
    expect(isinstance(got, data.ImageSet), f"Expected an ImageSet, got {type(got).__name__}.")
    shapes = {image.tobytes() for image in got.images}
    expect(
        not shapes & {image.tobytes() for image in letters.images},
        "There are letters in it. What the model learns to draw, it no longer refuses.",
    )
    expect(
        shapes == {image.tobytes() for image in digits.images},
        "Some digits are missing, or there are images that are neither.",
    )
    return "Training data is known data: digits alone."


@check("5.3")
def smaller_code(answer):
    """The reconstruction error (MSE) with a code of 16 numbers and of 128."""
    small, large = numbers(answer, 2, "two mean squared errors, that of 16 numbers first")
    expect(min(small, large) > 0 and max(small, large) < 0.2, "An MSE of pixels in [0, 1] lies well below 0.2 here.")
    expect(small > large, "Less room, worse copies. Were the two swapped, or is one of them hardly trained?")
    return "Fewer numbers, worse copies."


@check("6.1")
def images_for_a_promise(answer):
    """How many calibration images does a conformal line with α = 1/1000 need?"""
    (count,) = numbers(answer, 1, "a number")
    expect(count != 1000, "Nearly. With 999 the rank ⌈(n+1)(1−α)⌉ is n already.")
    expect(count > 998, "The rank ⌈(n+1)(1−α)⌉ would be larger than n: no image has it.")
    expect(count == 999, "Fewer will do. Solve ⌈(n+1)(1−α)⌉ ≤ n.")
    return "n ≥ 1/α − 1."


@check("6.2")
def calibrated_on_easy(answer):
    """``calibrate(norms)``: a line that refuses 2 % of new digits, from the norms of a random sample."""
    calibrate, random = function(answer, "calibrate(norms)"), np.random.default_rng(0)
    sample, new = random.normal(16.8, 1.4, 5000), random.normal(16.8, 1.4, 20_000)
    share = calibrate(sample).reject(new).mean()
    expect(
        share < 0.03,
        f"It refuses {share:.1%} of new digits, where 2 % were promised. Are the digits that it is fitted on "
        "exchangeable with new ones?",
    )
    expect(share > 0.01, f"It refuses {share:.1%} of new digits. The promise was 2 %, so the line is too far out.")
    return "A random sample of what will come keeps the promise."


@check("6.3")
def mean_as_level(answer):
    """``mean_diff(output)``: in how many pixels image and copy differ, each black and white at its own mean."""
    mean_diff, output = function(answer, "mean_diff(output)"), said("letters")
    got, images, copies = np.asarray(mean_diff(output)), output.pixels, output.copies
    own, copied = images.mean(1, keepdims=True), copies.mean(1, keepdims=True)
    expect(got.shape == (500,), "Expected one number for each image.")
    expect(not same(got, scores.diff(output)), "That is still Otsu's level.")
    expect(
        not same(got, ((images > own) != (copies > own)).sum(1)),
        "The copy needs a level of its own: at the mean of a dark image, no pixel of it is black.",
    )
    expect(
        not same(got, ((images > images.mean()) != (copies > copies.mean())).sum(1)),
        "That is one mean for all images. Each picture has its own, whatever pictures are beside it.",
    )
    wanted = ((images > own) != (copies > copied)).sum(1)
    expect(same(got, wanted), "Count the pixels that are white in one of the two and black in the other.")
    return "One line of code for a level."


@check("7.1")
def arithmetic(answer):
    """The report's MNIST, OOD and total accuracy, in per cent, from its confusion matrix."""
    values = numbers(answer, 3, "three percentages: MNIST, OOD, total")
    expect(not (values < 1.01).all(), "In per cent, please: 96.24, not 0.9624.")
    expect(
        not np.isclose(values[2], 95.83, atol=0.01), "That is the plain mean. There are twice as many unknown images."
    )
    expect(not np.isclose(values[0], 98.63, atol=0.05), "A refused digit is a wrong answer too: divide by all 10,000.")
    expect(
        np.allclose(values, [96.24, 95.42, 95.69], atol=0.006),
        "Right answers lie on the diagonal: the last one is OOD.",
    )
    return "9,624 of 10,000; 19,083 of 20,000; 28,707 of 30,000."


@check("7.2")
def company(answer):
    """``answers(model, lines, images)``: the report's rule, the same for an image whoever else is in the batch."""
    answers, model = function(answer, "answers(model, lines, images)"), zoo.load("mtae")
    lines, patches = {"norm": 19.5, "diff": 68}, said("patches")[:200]
    together = np.asarray(answers(model, lines, patches.images))
    expect(together.shape == (200,), "Expected one answer an image.")
    behind = np.asarray(answers(model, lines, np.concatenate([said("noise").images, patches.images])))[500:]
    single = np.array([answers(model, lines, patches.images[i : i + 1])[0] for i in range(200)])
    changed = int(((together != behind) | (together != single)).sum())
    expect(not changed, f"Of 200 patches, {changed} change their answer with the company. Where do the images meet?")
    far = (scores.norm(patches, unit=0.31) > lines["norm"]) | (scores.diff(patches) > lines["diff"])
    expect(
        (single != np.where(far, UNKNOWN, patches.guess)).sum() < 3,
        "The same answer in every company, but not the report's: each picture has a level of its own, Otsu's.",
    )
    return "An answer depends on the image alone. So its price can be promised."


@check("7.3")
def without_outline(answer):
    """``relative(output)``: the norm, divided by the length of the image."""
    got = np.asarray(function(answer, "relative(output)")(said("mnist")))
    expect(got.shape == (500,), "Expected one number an image.")
    residual = scores.norm(said("mnist"))
    copy = np.linalg.norm(said("mnist").reconstruction, axis=(1, 2))
    image = np.linalg.norm(said("mnist").images / 255, axis=(1, 2))
    expect(not np.allclose(got, residual / copy, rtol=0.01), "Divided by the length of the copy. Take the image's.")
    expect(not np.allclose(got * 255, residual / image, rtol=0.01), "The image is in bytes: divide it by 255 first.")
    expect(
        np.allclose(got, residual / image, rtol=0.01), "Divide the norm by the root of the sum of the squared pixels."
    )
    return "A long outline no longer makes a digit suspect by itself."


@cache
def neighbours():
    """A rule with one key, the nearest of 2,000 shown digits; those digits; 1,000 that nobody has seen."""
    model, digits = zoo.load("mtae"), data.load("mnist", "train").sample(3000, seed=5).images
    key = scores.KNN(infer(model, digits[:2000]))
    return OpenSetClassifier(model, {"code": (key, thresholds.Conformal(0.02))}), digits[:2000], digits[2000:]


@check("8.1")
def knew_everything(answer):
    """``calibrated(rule, shown, calibration)``: the rule, fitted on the right images."""
    fitted = function(answer, "calibrated(rule, shown, calibration)")(*neighbours())
    expect(isinstance(fitted, OpenSetClassifier), f"Expected the fitted rule, got {type(fitted).__name__}.")
    share = (fitted.predict(data.load("mnist").sample(1000, seed=6).images) == UNKNOWN).mean()
    expect(
        share < 0.5,
        f"It refuses {share:.0%} of new digits. Each shown image is its own nearest neighbour, at distance 0.",
    )
    expect(
        share < 0.05, f"It refuses {share:.0%} of new digits; some shown images are still among the calibration images."
    )
    return "Images that neither the network nor the search has seen keep the promise."


@check("8.2")
def union_bound_waste(answer):
    """``given_away(refused)``: what the union bound gives away, from the refusals bool [N, 2] of two keys."""
    given_away, random = function(answer, "given_away(refused)"), np.random.default_rng(0)
    refused = random.random((1000, 2)) < 0.2
    refused[:100] = True
    got = float(given_away(refused))
    each = refused.mean(0)
    expect(not same(got, each.prod()), "The product of both shares: that holds for independent keys only.")
    expect(
        not same(got, refused.any(1).mean()), "That is what they refuse together. What would the bound have allowed?"
    )
    expect(
        same(got, each.sum() - refused.any(1).mean()),
        "Compare the sum of both shares with the share refused by either.",
    )
    return "What both keys refuse is paid for twice."


@check("8.3")
def length_or_direction(answer):
    """The share of letters refused with normalise 1, 0.5 and 0: a dict."""
    expect(isinstance(answer, dict) and {1.0, 0.0} <= set(answer), "Expected a dict with a share for 1.0, 0.5 and 0.0.")
    numbers(answer, len(answer), "a share for each power")
    expect(all(0 <= share <= 1 for share in answer.values()), "Shares lie between 0 and 1.")
    expect(answer[0.0] != answer[1.0], "The two are equal: was `normalise` handed on?")
    expect(
        answer[0.0] > answer[1.0], "normalise=1 keeps the direction alone, and length catches more letters. Swapped?"
    )
    return "With its length left in, the code tells more letters from digits."


def page():
    """Black ink on a white page, an upright stroke with a bar, away from the middle."""
    sheet = np.full((300, 420), 255, np.uint8)
    sheet[60:220, 200:222] = 20
    sheet[60:82, 140:222] = 20
    return Image.fromarray(sheet)


@check("9.1")
def from_the_camera(answer):
    """``prepare(page)``: a page with black ink as uint8 [28, 28], as MNIST has its digits."""
    got = np.asarray(function(answer, "prepare(page)")(page()))
    expect(got.shape == (28, 28) and got.dtype == np.uint8, f"Expected uint8 28×28, got {got.dtype} {list(got.shape)}.")
    expect(got[0, 0] < 128, "The ink is dark on a bright page. The network knows bright on black.")
    rows, columns = (np.flatnonzero((got > 60).any(axis)) for axis in (1, 0))
    expect(len(rows) > 0, "Nothing is left of the ink.")
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    expect(
        18 <= max(height, width) <= 22,
        f"The digit is {height} rows high and {width} wide; MNIST's fill a box of 20×20.",
    )
    expect(abs(width / height - 82 / 160) < 0.12, "Height and width are not in proportion any more.")
    expect(abs((rows[0] + rows[-1]) / 2 - 13.5) < 4, "The digit does not stand in the middle.")
    return "Bright on black, 20 pixels large, in the middle: now it is read."


@check("9.2")
def stricter_door(answer):
    """A dict from α to the refusals, bool [N]: 0.05, 0.01 and 0.005."""
    expect(
        isinstance(answer, dict) and len(answer) >= 2, "Expected a dict from each α to True or False for each image."
    )
    order = sorted(answer)
    masks = [np.asarray(answer[alpha]) for alpha in order]
    expect(all(mask.dtype == bool for mask in masks), "Expected True or False for each image, not a count.")
    expect(len({mask.shape for mask in masks}) == 1, "The same images, please, at every α.")
    shares = [mask.mean() for mask in masks]
    expect(
        shares[0] < shares[-1], "The largest α must refuse most: α is the share of known images that may be refused."
    )
    expect(
        all((small <= large).all() for small, large in pairwise(masks)),
        "An image refused at a small α is accepted at a larger one. Were the lines calibrated on the same images?",
    )
    return "The refusals are nested: a larger α moves both lines inwards."
