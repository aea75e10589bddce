"""The checks of the book's exercises: what is right, and what each wrong answer deserves to hear."""

from functools import cache

import numpy as np
import scipy
import torch
from PIL import Image

from osrlib import UNKNOWN, data, losses, metrics, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.gram import GramDeviation, GramFeatures
from osrlib.output import BatchOutput, Output, infer
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
def blank_page(answer):
    """``open_set(known, new, price)``: one of K classes for each new image, or K where the softmax is too unsure."""
    open_set, random = function(answer, "open_set(known, new, price)"), np.random.default_rng(0)
    logits = random.normal(0, 2, (3000, 6)) + 6 * np.eye(6)[random.integers(0, 6, 3000)] * random.random((3000, 1))
    known, new = logits[:2000], logits[2000:]
    got = np.asarray(open_set(known, new, 0.1))
    expect(got.shape == (1000,), "Expected one answer for each new image.")
    expect(not (got == UNKNOWN).any(), "Of 6 classes, numbered from 0, unknown is number 6.")
    score = scores.msp(Output(new))
    line = np.quantile(scores.msp(Output(known)), [0.1, 0.9])
    refused = got == 6
    expect(refused.any(), "It refuses none of 1,000 new images, and may refuse a tenth of the known ones.")
    expect(score[refused].mean() > score.mean(), "It refuses what the network is surest of.")
    expect(
        not same(refused, score > line[0]),
        "It refuses nine tenths of the known images, where the price is one tenth. Which quantile is the line?",
    )
    alone = np.asarray(open_set(known, new[:100], 0.1))
    expect(same(alone, got[:100]), "An answer changes with the other new images. The line owes them nothing.")
    with np.errstate(all="ignore"):
        large = np.asarray(open_set(known + 1000, new + 1000, 0.1))
    expect(same(large, got), "With logits of 1,000, exp overflows. Which number may be subtracted from all K of them?")
    wanted = np.where(score > line[1], 6, new.argmax(1))
    expect((got != wanted).sum() <= 3, "Expected K beyond the line, and the class of the largest logit elsewhere.")
    return "Softmax, quantile, compare: a classifier for an open set."


@check("1.4")
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
def two_halves(answer):
    """``choose_and_report(known, unknown, seed)``: which score wins on one half, and its AUROC on the other."""
    choose, random = function(answer, "choose_and_report(known, unknown, seed=0)"), np.random.default_rng(0)
    found = []
    for seed in range(6):  # one score of six knows something
        known, unknown = random.normal(0, 1, (2, 6, 200))
        unknown[seed] += 2
        winner, told = numbers(choose(known, unknown, seed), 2, "two things: which score wins, and its AUROC")
        expect(winner == seed, "The one score of six that tells them apart did not win. Larger is more unknown.")
        found.append(told)
    expect(abs(np.mean(found) - 0.921) < 0.03, "The winner is right, but what is reported is not its AUROC.")
    told = np.mean([choose(*random.random((2, 10, 40)), seed)[1] for seed in range(60)])
    hint = f"The AUROC of the best of 10 truly random scores comes out at {told:.2f} on average; they know nothing."
    expect(told < 0.536, f"{hint} Have some of the images that report taken part in the choice?")
    expect(told > 0.455, hint)
    return "No image that reports had a say in the choice."


@check("2.3")
def oscr_from_pairs(answer):
    """``oscr_area(known, right, unknown)``: pairs in which the unknown image wins, and the digit has its name."""
    area, random = function(answer, "oscr_area(known, right, unknown)"), np.random.default_rng(0)
    for largest in (10**6, 5):  # without ties, with many
        known, unknown = random.integers(0, largest, 300), random.integers(largest // 4, largest, 200)
        known, unknown, right = known / 4, unknown / 4, random.random(300) < 0.7
        (got,) = numbers(area(known, right, unknown), 1, "a number")
        wanted = metrics.oscr(known, right, unknown).area
        expect(not same(got, metrics.auroc(known, unknown)), "That is the AUROC. It does not look at the names.")
        expect(not same(got, wanted / right.mean()), "Divide by all pairs, those of a digit with a wrong name too.")
        expect(not same(got, right.mean() - wanted), "Those are the pairs that the digit wins. Larger is more unknown.")
        expect(largest > 5 or same(got, wanted), "Right where no two scores are equal. Ties count half.")
        expect(same(got, wanted), "Count pairs in which the unknown image is higher and the digit is named rightly.")
    return "The pairs of the AUROC, but for those whose digit has a wrong name."


@check("2.4")
def how_much_luck(answer):
    """``luck(tried, images)``: what the best of so many truly random scores promises beyond one half."""
    luck = function(answer, "luck(tried, images)")
    wanted = {(1, 20): 0.0, (10, 20): 0.142, (100, 20): 0.228, (100, 80): 0.114}
    got = {case: numbers(luck(*case), 1, "a number")[0] for case in wanted}
    expect(not got[1, 20] > 0.4, "Is that what the winner promises? Its luck is the part beyond 1/2.")
    expect(
        abs(got[1, 20]) < 0.07,
        f"With a single score there is no choice, so no luck on average; yours has {got[1, 20]:.2f}.",
    )
    expect(
        got[100, 20] > 1.2 * got[10, 20],
        "Luck must grow with the number tried. Take the largest AUROC of each repetition, then the mean of these.",
    )
    expect(
        got[100, 80] < 0.75 * got[100, 20],
        "Luck must shrink as the sample grows: `images` is the number of known and of unknown images in it.",
    )
    for (tried, images), value in wanted.items():
        expect(
            abs(got[tried, images] - value) < max(0.2 * value, 0.07 * (tried == 1)),
            f"The best of {tried} on {images} images of each kind: yours has {got[tried, images]:.3f} beyond 1/2. "
            "Draw as many known as unknown images, each with a number of its own, and repeat it more often.",
        )
    return "Luck halves with four times the images, and grows ever more slowly with the number tried."


@check("3.1")
def drawings_a_second(answer):
    """``drawings_a_second(images_a_minute, classes)``: how many drawings a second C2AE must make."""
    count = function(answer, "drawings_a_second(images_a_minute, classes)")
    asked = ((10_000, 10), (10_000, 100), (600, 1))
    got = numbers([count(*one) for one in asked], 3, "a number for each question")
    once = [images / 60 for images, _ in asked]
    wanted = [images * classes / 60 for images, classes in asked]
    expect(not same(got, np.multiply(wanted, 60)), "These are drawings a minute.")
    expect(not same(got, once), "That is what the multi-task autoencoder needs. C2AE draws under every order.")
    expect(not same(got, np.add(wanted, once)), "The image itself needs no drawing of its own: one for every class.")
    expect(same(got, wanted), "C2AE draws each image once for every class; a minute has 60 seconds.")
    return "The price of conditioning grows with the number of classes."


@check("3.2")
def two_calls(answer):
    """``own_loss(output, images, labels, decode)``: a large error wanted under wrong orders, decoded in one call."""
    loss, random = function(answer, "own_loss(output, images, labels, decode)"), torch.Generator().manual_seed(0)
    images, code = (torch.rand(20, *shape, generator=random) for shape in ((1, 28, 28), (128,)))
    labels, calls = torch.arange(20) // 2 % 4, []
    x, other = images.squeeze(1), labels.roll(1)
    differ = other != labels
    orders = torch.cat([labels, other[differ]])

    def draw(code, condition):
        """Standardised over what is decoded together, as batch norm does it in training mode."""
        maps = code[:, :28, None] * code[:, None, 28:56] + condition[:, None, None]
        return torch.sigmoid((maps - maps.mean(0)) / (maps.std(0) + 0.1))

    def decode(code, condition):
        calls.append(len(code))
        return draw(code, condition)

    def told(right, wrong, target):
        match, nonmatch = (right - x).abs().mean(), (wrong - target).abs().mean()
        return [float(match), float(nonmatch), float(0.5 * match - 0.5 * nonmatch)]

    got = loss(BatchOutput(torch.zeros(20, 10), code), images, labels, decode)
    expect(isinstance(got, dict) and {"loss", "match", "nonmatch"} <= set(got), "Expected loss, match and nonmatch.")
    got = numbers([got[name] for name in ("match", "nonmatch", "loss")], 3, "three numbers")
    expect(
        len(calls) == 1,
        f"The decoder is called {len(calls)} times. In training mode, batch norm takes mean and spread from one call: "
        "what do they tell where all orders of a call are right, or all wrong?",
    )
    right, wrong = draw(torch.cat([code, code[differ]]), orders).split([20, int(differ.sum())])
    expect(
        not same(got[1], told(right, wrong, x.roll(1, 0)[differ])[1]),
        "Under the wrong order, that is the error against the neighbour's picture, as in the paper. Here it is to be "
        "large against the image itself.",
    )
    wanted = told(right, wrong, x[differ])
    expect(not same(got[2], wanted[0] / 2 + wanted[1] / 2), "This loss makes both errors small.")
    expect(same(got, wanted), "One call is right. The three numbers are not those of the loss as it was meant.")
    return "What is decoded together no longer tells right orders from wrong ones."


@check("3.3")
def one_order(answer):
    """``one_drawing(model, images)``: C2AE's error under the order that its classifier guesses."""
    one_drawing, model, drawn = function(answer, "one_drawing(model, images)"), zoo.load("c2ae"), []
    images, decode = data.load("letters").sample(60, seed=3).images, model.decode
    output = infer(model, images)

    def counted(code, condition):
        drawn.append(len(code))
        return decode(code, condition)

    model.decode = counted
    got = np.asarray(torch.as_tensor(one_drawing(model, images)).detach(), dtype=float)
    expect(got.shape == (60,), f"Expected one number an image, [60], got {list(got.shape)}.")
    wanted = output.errors[np.arange(60), output.guess]
    expect(sum(drawn) < 600 and not same(got, output.errors.min(1)), "All ten orders were drawn. Draw the guess alone.")
    expect(not np.median(got / wanted) > 20, "The images are in bytes: divide them by 255 first.")
    expect(
        np.allclose(got, wanted, rtol=0.01, atol=1e-4),
        "Not the mean absolute error per pixel under the class with the largest logit.",
    )
    return "One drawing an image, as in the multi-task autoencoder."


@check("3.4")
def by_ink(answer):
    """``by_ink(output, power)``: the smallest error, divided by a power of the image's mean brightness."""
    score, random = function(answer, "by_ink(output, power)"), np.random.default_rng(1)
    errors, images = random.gamma(4, 1, (50, 10)), random.integers(0, 200, (50, 28, 28)).astype(np.uint8)
    images[:25] //= 4
    output, ink = Output(random.normal(0, 1, (50, 10)), None, images=images, errors=errors), images.mean((1, 2))
    got = {power: np.asarray(score(output, power), dtype=float) for power in (0, 0.5, 1)}
    expect(all(one.shape == (50,) for one in got.values()), "Expected one number an image.")
    expect(same(got[0], errors.min(1)), "With power 0 the score is the smallest of the ten errors, as it is.")
    unit = {power: one / one[0] for power, one in got.items()}  # whatever the unit of ink
    wanted = {power: errors.min(1) / ink**power for power in got}
    expect(not same(got[1], got[0]), "The power changes nothing.")
    expect(not same(unit[1], errors.min(1) * ink / (errors.min(1) * ink)[0]), "That multiplies by ink.")
    expect(
        all(same(unit[power], one / one[0]) for power, one in wanted.items()),
        "Ink is the mean brightness of the *image*; the smallest error is divided by ink to the power.",
    )
    return "A score is cheap to change. Whether it gains is for the development worlds to say."


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
def class_bounds(answer):
    """``class_bounds(known)``: a score of an Output, from the bounds of each predicted class."""
    make, random = function(answer, "class_bounds(known)"), np.random.default_rng(0)

    def some(size, shape):
        logits = random.normal(0, 1, (size, 3))
        return Output(logits, random.gamma(shape, 1, (size, 5)) * (1 + logits.argmax(1)[:, None]))

    known, new = some(300, 6), some(100, 3)

    def outside(by_class=True, below=1, relative=True):
        total = np.zeros(len(new))
        for k in range(3):
            own, of_class = (one.guess == k if by_class else np.ones(len(one), bool) for one in (known, new))
            v, low, high = new.code[of_class], known.code[own].min(0), known.code[own].max(0)
            under, over = np.maximum(low - v, 0), np.maximum(v - high, 0)
            units = (low, high) if relative else (1, 1)
            total[of_class] = (below * under / units[0] + over / units[1]).sum(1)
        return total

    got = np.asarray(make(known)(new), dtype=float)
    expect(got.shape == (100,), "Expected one number an image.")
    expect(not same(got, outside(by_class=False)), "These are bounds for all classes in one. Whose are they to be?")
    expect(not same(got, outside(below=0)), "What lies below the lower bound counts as well.")
    expect(not same(got, outside(relative=False)), "Each deviation is a share of the bound that was crossed.")
    expect(same(make(known)(known), np.zeros(300)), "The images that set the bounds lie within them: their score is 0.")
    expect(not same(5 * got, outside()), "Right but for a factor: add the features' deviations up.")
    expect(same(got, outside()), "Add up what lies outside of the predicted class's bounds, as shares of the bounds.")
    return "A detector without a Gram matrix."


@check("4.4")
def order_alone(answer):
    """``auroc_of(order, training, digits, unknown)``: the AUROC of the Gram deviation of one order."""
    auroc_of = function(answer, "auroc_of(order, training, digits, unknown)")
    training, digits = data.load("mnist", "train").sample(1200, seed=4).images, data.load("mnist").sample(250).images
    letters = data.load("letters").sample(1450, seed=4).images
    fewer, others = letters[:250], letters[250:]

    def wanted(order):
        network = GramFeatures(zoo.load("cnn"), (order,))
        score = GramDeviation(infer(network, training), network.layer)
        return metrics.auroc(*(score(infer(network, images)) for images in (digits, fewer)))

    got = numbers([auroc_of(order, training, digits, fewer) for order in (1, 5)], 2, "an AUROC for each order")
    expect((got > 0.5).all(), "Below one half: known first, unknown second; larger is more unknown.")
    expect(got[0] != got[1], "Orders 1 and 5 give one AUROC. Does the network know which order you ask for?")
    expect(auroc_of(1, others, digits, fewer) != got[0], "Other training images, the same AUROC. What sets the bounds?")
    right = np.array([wanted(1), wanted(5)])
    expect(np.abs(got - right).max() < 0.03, f"Here orders 1 and 5 give {right.round(3)}, and yours {got.round(3)}.")
    return "Now look at more images than one choice needs."


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
    """``three_sets(digits, letters)``: image sets to train on, and to judge by: known and unknown."""
    split, digits, letters = function(answer, "three_sets(digits, letters)"), data.load("mnist"), data.load("letters")
    digits, letters = digits.sample(300, seed=1), letters.sample(300, seed=1)
    got = split(digits, letters)
    right = isinstance(got, list | tuple) and [type(one) for one in got] == [data.ImageSet] * 3
    expect(right, "Expected three image sets: to train on, known and unknown to judge by.")
    train, known, unknown = ({image.tobytes() for image in one.images} for one in got)
    shown, strange = ({image.tobytes() for image in one.images} for one in (digits, letters))
    expect(not train & strange, "There are letters in it. What the model learns to draw, it no longer refuses.")
    expect(not train & known, "Digits that it was trained on are among those that judge it.")
    expect(known and known <= shown and unknown and unknown <= strange, "Judge by digits as known, letters as unknown.")
    expect(len(train) >= 150 and train <= shown, "Train on digits, half of them at the least.")
    return "Training data is known data: digits alone."


@check("5.3")
def copyist(answer):
    """``Copyist(size)``: a network that classifies an image and draws it, both from a code of so many numbers."""
    build = function(answer, "Copyist(size), a class")
    images = torch.from_numpy(said("mnist", 64).pixels.reshape(-1, 1, 28, 28))
    labels = torch.from_numpy(said("mnist", 64).guess)
    for size in (3, 20):
        torch.manual_seed(0)
        network = build(size)
        expect(isinstance(network, torch.nn.Module), f"Expected a torch.nn.Module, got {type(network).__name__}.")
        output = network.eval()(images)
        expect(isinstance(output, BatchOutput), "`forward` returns BatchOutput(logits, code, reconstruction).")
        expect(output.code.shape == (64, size), f"The code of Copyist({size}) is {list(output.code.shape)}.")
        expect(output.logits.shape in ((64, 10), (64, 11)), f"The logits are {list(output.logits.shape)}.")
        drawn = output.reconstruction
        expect(drawn is not None and drawn.shape == (64, 28, 28), "The copies are [N, 28, 28], without a channel.")
        expect(_ways(network, images[:1]) <= size, "Some of the image gets past the code: draw from the code alone.")
    optimizer, losses_seen = torch.optim.Adam(network.train().parameters(), 1e-3), []
    for _ in range(30):
        optimizer.zero_grad()
        losses_seen.append(zoo.REPORT_LOSS(network(images), images, labels)["loss"])
        losses_seen[-1].backward()
        idle = [name for name, weight in network.named_parameters() if weight.grad is None]
        expect(not idle, f"No gradient reaches {', '.join(idle)}.")
        optimizer.step()
    expect(losses_seen[-1] < 0.95 * losses_seen[0], "The report's loss does not fall in 30 steps on 64 digits.")
    return "All that the copy knows of the image has passed through the code."


def _ways(network, image):
    """In how many independent ways a copy can change with its image: the rank of its derivative."""
    many = image.expand(784, 1, 28, 28).clone().requires_grad_()
    network(many).reconstruction.flatten(1).diagonal().sum().backward()
    return torch.linalg.matrix_rank(many.grad.flatten(1).double(), rtol=1e-4)


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


@check("6.4")
def conformal_by_hand(answer):
    """``conformal_line(scores, alpha)``: the line that a new known score passes with probability alpha at most."""
    draw, random = function(answer, "conformal_line(scores, alpha)"), np.random.default_rng(0)
    for n, alpha in ((1000, 0.02), (199, 0.05), (105, 0.1)):
        values = random.normal(17, 1.5, n)
        rank, ordered = -(-(n + 1) * round(1000 * (1 - alpha)) // 1000), np.sort(values)
        line = float(draw(values, alpha))
        beyond = int((values > line).sum())
        expect(beyond < n / 2, f"Beyond it lie {beyond} of {n} scores, where {alpha:.0%} may. Refused are the largest.")
        expect(line in values, "It lies between two scores. The argument is one of ranks: take one of the scores.")
        expect(
            line != ordered[rank - 2],
            f"Of {n} scores, {beyond} lie beyond it, and the new one may be there too: its rank is one of n + 1.",
        )
        expect(
            line == ordered[rank - 1],
            f"Of {n} scores, {beyond} lie beyond it; with α = {alpha:g}, the line is the one that leaves {n - rank}.",
        )
    ties = random.binomial(40, 0.5, 500).astype(float)
    expect(
        float(draw(ties, 0.1)) == np.sort(ties)[450],
        "It is right as long as no two scores are equal. Each counts as often as it comes.",
    )
    try:
        line = float(draw(values[:48], 0.02))
    except ValueError:
        line = np.inf
    expect(
        line == np.inf,
        "48 images cannot promise 2 %: the rank is 49. Return infinity, or raise a ValueError, and say why.",
    )
    return "The promise of ⌈(n + 1)(1 − α)⌉, whatever the scores are."


@check("7.1")
def arithmetic(answer):
    """``accuracies(matrix)``: MNIST, OOD and total accuracy, in per cent, from a confusion matrix [11, 11]."""
    accuracies, random = function(answer, "accuracies(matrix)"), np.random.default_rng(0)
    for unknown in (40, 900):
        matrix = random.poisson(3, (11, 11)) + np.diag(random.poisson([*range(20, 320, 30), 10 * unknown]))
        matrix[:10, 10] += random.poisson(20, 10)
        values, right = numbers(accuracies(matrix.copy()), 3, "three percentages: MNIST, OOD, total"), matrix.diagonal()
        mnist, ood = 100 * right[:10].sum() / matrix[:10].sum(), 100 * right[10] / matrix[10].sum()
        total = 100 * right.sum() / matrix.sum()
        expect(not same(100 * values, [mnist, ood, total]), "In per cent, please: 96.24, not 0.9624.")
        accepted = 100 * right[:10].sum() / matrix[:10, :10].sum()
        expect(not same(values[0], accepted), "A refused digit is a wrong answer too: divide by all digits.")
        each = 100 * right / matrix.sum(1)
        expect(not same(values[0], each[:10].mean()), "That is the mean over ten classes. Each image weighs the same.")
        named = 100 * right[10] / matrix[:, 10].sum()
        expect(not same(values[1], named), "Rows are the truth: divide by the images that *are* unknown.")
        expect(
            not same(values[2], (mnist + ood) / 2) or same(values[2], total),
            "The total is no plain mean of its parts: there may be more unknown images than digits.",
        )
        expect(same(values, [mnist, ood, total]), "Right answers lie on the diagonal: the last one is OOD.")
    return "Three shares of one diagonal."


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
def otsu_by_hand(answer):
    """``level(picture)``: the level that sets the dark and the bright pixels of a picture furthest apart."""
    level, output, random = function(answer, "level(picture)"), said("letters"), np.random.default_rng(0)

    def apart(picture, line, weigh=True):
        bright = picture > line
        share = bright.mean()
        if share in (0, 1):
            return 0.0
        return (share * (1 - share) if weigh else 1) * (picture[bright].mean() - picture[~bright].mean()) ** 2

    pictures = [*output.pixels[:2], output.copies[3], random.gamma(2, 30, 784), np.repeat([1.0, 5.0], [700, 84])]
    for picture in pictures:
        cuts, line = np.unique(picture), float(level(picture.copy()))
        expect(apart(picture, line) > 0, "At this level, a picture is black or white all over.")
        best = max(apart(picture, cut) for cut in cuts)
        unweighed = cuts[np.argmax([apart(picture, cut, False) for cut in cuts])]
        expect(
            apart(picture, line) > 0.99 * best or not same(picture > line, picture > unweighed),
            "The means lie far apart, and one group has hardly a pixel. Weigh by the shares of both groups.",
        )
        expect(not same(line, picture.mean()) or apart(picture, line) > 0.99 * best, "That is the mean of the picture.")
        expect(
            apart(picture, line) > 0.99 * best,
            f"The separation at this level is {apart(picture, line) / best:.0%} of the largest. "
            "Are levels tried over all values that this picture has?",
        )
    flat = np.full(784, 0.13)
    expect(not (flat > float(level(flat))).any(), "A flat picture has no bright group: call it black, as skimage does.")
    return "One picture, one level, whoever else is in the batch."


@check("7.4")
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


@check("8.1")
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


@check("8.2")
def rule_of_a_friend(answer):
    """``build(model, digits, alpha)``: a rule of two keys, calibrated on images that its scores have not seen."""
    digits = data.load("mnist", "train").sample(4500, seed=5)
    rule = function(answer, "build(model, digits, alpha)")(zoo.load("mtae"), digits, 0.02)
    expect(isinstance(rule, OpenSetClassifier), f"Expected the fitted rule, got {type(rule).__name__}.")
    expect(set(rule.keys) == {"code", "pixels"}, "Expected both keys, code and pixels.")
    share = (rule.predict(data.load("mnist").sample(2000, seed=6).images) == UNKNOWN).mean()
    nearest = rule.keys["code"].threshold.calibration
    own = (nearest < 1e-3).mean()
    expect(
        own < 0.01,
        f"It refuses {share:.1%} of new digits. Of its calibration images, {own:.0%} are at distance 0 from the "
        "nearest known one: have they been seen?",
    )
    expect(len(nearest) >= 1000, f"Only {len(nearest)} images are left to calibrate on, of 4,500.")
    expect(share < 0.035, f"It refuses {share:.1%} of new digits, where 2 % were promised.")
    return "Images that the scores have not seen keep the promise."


@check("8.3")
def nearest_code(answer):
    """``nearest(known, new)``: the distance in direction to the nearest known code, [N]."""
    nearest, random = function(answer, "nearest(known, new)"), np.random.default_rng(0)
    known, new = random.normal(0.3, 1, (300, 16)), random.normal(0, 2, (80, 16))
    new[0] = 3 * known[7]
    got = np.asarray(nearest(known, new))
    expect(got.shape == (80,), "Expected one number for each new code.")
    plain = scipy.spatial.distance.cdist(new, known)
    known, new = (code / np.linalg.norm(code, axis=1, keepdims=True) for code in (known, new))
    wanted = scipy.spatial.distance.cdist(new, known)
    expect(
        np.isfinite(got).all(), "Some are no numbers: a code in a known direction is at distance 0, but for rounding."
    )
    expect(
        not np.allclose(got, plain.min(1), atol=1e-6), "Length counts for nothing here: divide each code by its own."
    )
    expect(not np.allclose(got, wanted.max(1), atol=1e-6), "That is the farthest known code.")
    expect(not np.allclose(got, wanted.mean(1), atol=1e-6), "The mean over all known codes. The nearest one counts.")
    expect(not np.allclose(got, wanted.min(1) ** 2, atol=1e-6), "The square of the distance: take its root.")
    expect(np.allclose(got, wanted.min(1), atol=1e-5), "The smallest distance between codes of length 1.")
    return "One matrix product finds the nearest of all."


@check("8.4")
def length_or_direction(answer):
    """``refuse(known, calibration, new, power)``: which new images a line of 1 % refuses, bool [N]."""
    refuse, digits = function(answer, "refuse(known, calibration, new, power)"), said("mnist")
    known, held_out, new = digits[:300], digits[300:], said("letters")
    got = {power: np.asarray(refuse(known, held_out, new, power)) for power in (1.0, 0.0)}
    expect(all(one.dtype == bool and one.shape == (500,) for one in got.values()), "Expected True or False an image.")
    expect(not same(got[0.0], got[1.0]), "The same images at both powers: was `power` handed on as `normalise`?")
    for power, mask in got.items():
        score = scores.KNN(known, normalise=power)
        wanted = thresholds.Conformal(0.01).fit(score(held_out)).reject(score(new))
        expect(
            same(mask, wanted),
            f"At power {power:g}, {mask.mean():.0%} are refused; it should be {wanted.mean():.0%}. Is the line "
            "conformal, at 1 %, and fitted on the calibration images?",
        )
    return "Direction and length see different letters."


@check("9.1")
def unpaired_difference(answer):
    """``unpaired(first, second)``: the difference of two means, and its standard error if the splits differed."""
    unpaired, random = function(answer, "unpaired(first, second)"), np.random.default_rng(0)
    hard = random.normal(0, 0.05, 5)
    first, second = 0.95 + hard + random.normal(0, 0.004, 5), 0.94 + hard + random.normal(0, 0.004, 5)
    mean, error = numbers(unpaired(first, second), 2, "two numbers: the difference and its standard error")
    expect(mean > 0, "The sign is turned: first minus second.")
    expect(same(mean, first.mean() - second.mean()), "The first number is the difference of the two means.")
    difference = first - second
    expect(
        not same(error, difference.std(ddof=1) / np.sqrt(5)), "That is the paired one: it uses that the splits agree."
    )
    apart = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 5)
    expect(not same(error, apart * np.sqrt(5)), "That is how much one split differs. Of a mean of five, divide by √5.")
    expect(not same(error, apart * np.sqrt(0.8)), "Nearly: divide by n − 1, not by n, in each variance.")
    expect(same(error, apart), "The variances of the two means add up: √(s₁²/n + s₂²/n).")
    return "Without pairs, what both find hard counts twice."


@check("9.2")
def six_known(answer):
    """``evaluate(model, digits, test, known)``: the AUROC of kNN where only some digits are known."""
    evaluate, model = function(answer, "evaluate(model, digits, test, known)"), zoo.load("mtae")
    digits, test = data.load("mnist", "train").sample(3000, seed=8), data.load("mnist").sample(1500, seed=8)
    known = (0, 1, 2, 4, 5, 9)
    (got,) = numbers(evaluate(model, digits, test, known), 1, "one number, the AUROC")
    inside, output = np.isin(test.labels, known), infer(model, test.images)

    def area(bank):
        values = scores.KNN(infer(model, bank.images))(output)
        return metrics.auroc(values[inside], values[~inside])

    wanted = area(digits.only(known))
    expect(not same(got, 1 - wanted), "Turned round: known first, unknown second.")
    expect(
        not same(got, area(digits)),
        f"The AUROC is {got:.3f}. Which images may kNN remember, and which digits are among them?",
    )
    expect(
        same(got, wanted), f"Got {got:.3f}, expected {wanted:.3f}: kNN that remembers the known digits and no others."
    )
    return "What is unknown at the test must be unknown to the score."


@check("9.3")
def joined(answer):
    """``join(calibration, new)``: −Σ log p over scores, from calibration scores [S, n] and new ones [S, N]."""
    join, random = function(answer, "join(calibration, new)"), np.random.default_rng(0)
    calibration, new = random.gamma(3, 1, (2, 200)), random.gamma(4, 1, (2, 50))
    new[:, 0] = 100
    got = np.asarray(join(calibration, new))
    expect(got.shape == (50,), "Expected one number for each new image.")
    expect(np.isfinite(got).all(), "An image beyond all calibration scores has p = 1/(n + 1), not 0.")
    p = np.stack(
        [thresholds.Conformal(0.05).fit(known).p_values(each) for known, each in zip(calibration, new, strict=True)]
    )
    expect(not same(got, -np.log(p.min(0))), "The smaller p-value alone. Somewhat strange to both should count, too.")
    expect(not same(got, np.log(p).sum(0)), "The sign: larger must mean more unknown.")
    lower = np.stack([(known[:, None] < each).sum(0) for known, each in zip(calibration, new, strict=True)])
    expect(
        not same(got, -np.log((lower + 1) / 201).sum(0)), "These count smaller scores. A p-value counts larger ones."
    )
    expect(same(got, -np.log(p).sum(0)), "Add up −log p, with p = (1 + number of scores at least as large) / (n + 1).")
    return "Two questions, one number."


@check("9.4")
def pair_to_join(answer):
    """``best_pair(calibration, known, unknown)``: the names of the two scores that have the highest AUROC, joined."""
    best_pair = function(answer, "best_pair(calibration, known, unknown)")
    random = np.random.default_rng(0)
    for first, like, second in ("abc", "bcd"):
        # the first and the one like it see the same half of the unknown, the second sees the other half less well
        half = random.random(400) < 0.5
        shift = dict.fromkeys("abcd", 0) | {first: 3.5 * half, like: 3 * half, second: 2 * ~half}
        calibration, known = ({name: random.normal(0, 1, 400) for name in "abcd"} for _ in range(2))
        unknown = {name: random.normal(0, 1, 400) + shift[name] for name in "abcd"}
        alone = sorted("abcd", key=lambda name: -metrics.auroc(known[name], unknown[name]))[:2]
        got = best_pair(calibration, known, unknown)
        expect(isinstance(got, tuple | list) and len(got) == 2, "Expected the names of two scores.")
        expect(set(got) <= set("abcd"), f"Expected two of the names in the dicts, got {got!r:.60}.")
        expect(
            set(got) == {first, second} or set(got) != set(alone),
            "The two that are best alone. Joined, two that see different things can do better: try every pair.",
        )
        expect(set(got) == {first, second}, f"Not the best pair. Joined, {first} and {second} have a higher AUROC.")
    return "The best two together need not be the best two alone."


def page():
    """Black ink on a white page, an upright stroke with a bar, away from the middle."""
    sheet = np.full((300, 420), 255, np.uint8)
    sheet[60:220, 200:222] = 20
    sheet[60:82, 140:222] = 20
    return Image.fromarray(sheet)


@check("10.1")
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


@check("10.2")
def stricter_door(answer):
    """``answers(p_values, guess, alpha, unknown=10)``: the labels at another alpha."""
    label, random = function(answer, "answers(p_values, guess, alpha, unknown)"), np.random.default_rng(0)
    for n, alpha, unknown in ((999, 0.01, 10), (199, 0.05, 10), (99, 0.1, 4)):
        p_values, guess = random.integers(1, n + 2, 500) / (n + 1), random.integers(0, unknown, 500)
        p_values[:5] = alpha
        got = numbers(label(p_values.copy(), guess.copy(), alpha, unknown), 500, "labels")
        expect(not same(got, np.where(p_values < alpha, unknown, guess)), "A p-value of just α is a refusal.")
        expect(not same(got, np.where(p_values > alpha, unknown, guess)), "Small p-values are those of strange images.")
        expect(same(got, np.where(p_values <= alpha, unknown, guess)), f"With α = {alpha:g}, other labels are right.")
    return "No line was drawn again: a p-value answers for every α at once."


@check("11.1")
def price_of_a_line(answer):
    """``price(scores, alpha)``: which share of known images lies beyond a line set by n of them, spread evenly."""
    price, random = function(answer, "price(scores, alpha)"), np.random.default_rng(0)
    for n, alpha in ((99, 0.01), (250, 0.1), (1000, 0.05)):
        calibration = random.random(n)
        line = thresholds.Conformal(alpha).fit(calibration).value
        (got,) = numbers([price(calibration.copy(), alpha)], 1, "a share")
        expect(not same(got, line), "That is the line. How much of the way from 0 to 1 lies beyond it?")
        expect(not same(got, alpha), "That is what was promised, on average. What did these n images come to?")
        expect(
            not same(got, (calibration > line).mean()),
            "That counts the calibration images themselves. Others are to come, and they are spread evenly.",
        )
        expect(same(got, 1 - line), "The line is the ⌈(n + 1)(1 − α)⌉-th smallest score; beyond it lies 1 − line.")
    return "One line, one price: it scatters around what was promised."


@check("11.2")
def line_that_keeps_up(answer):
    """``keep_up(start, scores, known, alpha)``: the line after each day, by the latest 500 known scores."""
    keep_up, random = function(answer, "keep_up(start, scores, known, alpha)"), np.random.default_rng(0)
    start, days, known = random.normal(size=800), random.normal(size=(60, 100)), random.random((60, 100)) < 0.9
    days[~known] += 6
    days[30:] += 0.5  # a slow change, made quick
    got = numbers(keep_up(start.copy(), days.copy(), known.copy(), 0.05), 60, "lines")

    def lines(usable):
        recent = start[-500:]
        for day, use in zip(days, usable, strict=True):
            recent = np.concatenate([recent, day[use]])[-500:]
            yield thresholds.Conformal(0.05).fit(recent).value

    right = np.array(list(lines(known)))
    expect(
        not same(got, np.array(list(lines(np.ones_like(known))))),
        "Now unknown images set the line as well. People have said which are known.",
    )
    expect(not got[20:30].mean() < right[20:30].mean() - 0.1, "What is left out because of the line? It moves inwards.")
    expect(not same(got[1:], right[:-1]), "Each line is a day late: it is to be the one after that day.")
    expect(same(got, right), "The line after each day: by the latest 500 that people called known, whatever the line.")
    return "What sets the line must not depend on the line."


@check("11.3")
def call_the_strangers(answer):
    """``call(p_values, q)``: which images to call unknown, so that a share q of those at most is known, on average."""
    call, random = function(answer, "call(p_values, q)"), np.random.default_rng(0)
    steps = np.array([0.2, 0.04, 0.9, 0.011, 0.031, 0.6, 0.021, 0.8, 0.5, 0.7])
    cases = [(steps, 0.1), (random.permutation(np.r_[random.random(80), random.random(20) / 1000]), 0.2)]
    for p_values, q in [*cases, (np.full(10, 0.5), 0.1)]:
        got, ranks = np.asarray(call(p_values.copy(), q)), np.argsort(np.argsort(p_values)) + 1
        expect(got.shape == p_values.shape and got.dtype == bool, "Expected True or False for each image.")
        within = p_values <= q * ranks / len(p_values)
        right = ranks <= max(ranks[within], default=0)
        sorted_within = within[np.argsort(p_values)]
        first = int(np.argmin(sorted_within)) if not sorted_within.all() else len(p_values)
        expect(not (same(got, p_values <= q) and not same(got, right)), "That is a line for each image by itself.")
        expect(
            not (same(got, p_values <= q / len(p_values)) and not same(got, right)),
            "Bonferroni's line: it promises that none at all is known, and calls fewer. The k-th may be larger.",
        )
        expect(
            got.sum() != right.sum() or same(got, right), "The right number of them, but others: back to their places."
        )
        expect(
            not ((same(got, ranks <= first) or same(got, within)) and not same(got, right)),
            "The largest k that holds counts, though smaller ones may fail on the way.",
        )
        expect(same(got, right), "Find the largest k with p₍ₖ₎ ≤ q k / N, and call the k smallest.")
    return "Of what you call unknown, at most a share q is known, on average."


@check("11.4")
def alarm_of_your_own(answer):
    """``alarm(calibration, scores)``: after how many images of a stream it sounds, or None."""
    alarm, random = function(answer, "alarm(calibration, scores)"), np.random.default_rng(3)
    false, late = 0, []
    for _ in range(300):
        got = alarm(random.normal(size=500), random.normal(size=400))
        expect(got is None or 1 <= got <= 400, "Expected a number of images, 1 to 400, or None.")
        false += got is not None
    expect(false <= 24, f"It sounds in {false} of 300 streams in which nothing has changed; some 15 may.")
    for _ in range(10):
        calibration, stream = random.normal(size=500), random.normal(size=400)
        stream[100:] += 1.5
        got = alarm(calibration.copy(), stream.copy())
        expect(got is not None, "It does not sound where every score has grown by one and a half deviations.")
        before = alarm(calibration.copy(), stream[:got].copy())
        expect(before == got, "It sounds at another image when the stream ends there: does it look ahead?")
        late.append(got - 100)
    expect(np.median(late) <= 200, f"It sounds {np.median(late):.0f} images after the change; 200 are allowed.")
    return f"{false} false alarms in 300 quiet streams, and {np.median(late):.0f} images after the change."
