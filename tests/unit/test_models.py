"""The report's layers, exactly; and one way to run them."""

import copy
import warnings
from functools import partial
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import torch

from osrlib import losses, models, training, zoo
from tests.conftest import WRONG_IMAGES


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_baseline_has_the_reports_parameters(pool):
    model = models.BaselineCNN(pool)
    assert models.count_parameters(model) == 31_146
    own = [(shape, parameters) for _, shape, parameters in models.layer_table(model) if parameters]
    assert own == [([-1, 64, 28, 28], 1664), ([-1, 32, 14, 14], 18464), ([-1, 256], 8448), ([-1, 10], 2570)]


def test_autoencoder_has_the_reports_layers():
    model = models.MultiTaskAE()
    assert models.count_parameters(model.encoder) + models.count_parameters(model.decoder) == 412_801
    assert models.count_parameters(model.classifier) == 1_290
    silent = ("ReLU", "Flatten", "Unflatten", "Sigmoid")
    rows = [
        (layer.split("-")[0], shape, parameters)
        for layer, shape, parameters in models.layer_table(model)
        if not layer.startswith(silent) and shape != [-1, 10]
    ]
    assert rows == [
        ("Conv2d", [-1, 16, 28, 28], 160), ("BatchNorm2d", [-1, 16, 28, 28], 32), ("MaxPool2d", [-1, 16, 14, 14], 0),
        ("Conv2d", [-1, 32, 14, 14], 4640), ("BatchNorm2d", [-1, 32, 14, 14], 64), ("MaxPool2d", [-1, 32, 7, 7], 0),
        ("Linear", [-1, 128], 200832), ("Linear", [-1, 1568], 202272), ("ConvTranspose2d", [-1, 16, 7, 7], 4624),
        ("BatchNorm2d", [-1, 16, 7, 7], 32), ("Upsample", [-1, 16, 14, 14], 0),
        ("ConvTranspose2d", [-1, 1, 14, 14], 145), ("Upsample", [-1, 1, 28, 28], 0),
    ]  # fmt: skip


def test_baseline_gives_log_probabilities():
    said = models.BaselineCNN()(torch.rand(4, 1, 28, 28))
    assert torch.allclose(said.logits.exp().sum(1), torch.ones(4)) and said.code.shape == (4, 256)


def test_infer_does_not_depend_on_the_batches(mtae, digits):
    one = models.infer(mtae, digits.images[:50], batch_size=50)
    many = models.infer(mtae, digits.images[:50], batch_size=7)
    for a, b in zip(one[:3], many[:3], strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert one.reconstruction.shape == (50, 28, 28) and 0 <= one.reconstruction.min() <= one.reconstruction.max() <= 1


def test_infer_leaves_the_model_as_it_was(digits):
    model = models.MultiTaskAE().train()
    before = model.encoder[1].running_mean.clone()
    models.infer(model, digits.images[:10])
    assert model.training and torch.equal(before, model.encoder[1].running_mean)


@pytest.mark.parametrize("images", WRONG_IMAGES.values(), ids=WRONG_IMAGES.keys())
def test_infer_refuses_wrong_images(mtae, images):
    with pytest.raises(ValueError, match="images: expected"):
        models.infer(mtae, images)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, None])
def test_infer_refuses_wrong_batch_sizes(mtae, digits, batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        models.infer(mtae, digits.images[:2], batch_size)


def test_unknown_variants():
    with pytest.raises(ValueError, match="avg, max"):
        models.BaselineCNN("mean")
    with pytest.raises(ValueError, match="linear, sigmoid"):
        models.MultiTaskAE("tanh")


def test_multitask_loss_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.3], [0.5, 0.5]]))
    images = torch.zeros(2, 1, 28, 28)
    output = models.Output(logits, None, torch.full((2, 28, 28), 0.5))
    parts = losses.multitask_loss(output, images, torch.tensor([0, 1]), weight=2.0)
    cross_entropy = -(np.log(0.7) + np.log(0.5)) / 2
    assert parts["cross_entropy"].item() == pytest.approx(cross_entropy)
    assert parts["mse"].item() == pytest.approx(0.25)
    assert parts["loss"].item() == pytest.approx(cross_entropy + 0.5)
    alone = losses.classification_loss(output, images, torch.tensor([0, 1]))
    assert alone["loss"].item() == pytest.approx(cross_entropy)


def test_smoothed_labels_and_default_weight():
    output = models.Output(torch.tensor([[2.0, 0.0, 0.0, 0.0]]), None, torch.full((1, 28, 28), 0.5))
    images, labels = torch.zeros(1, 1, 28, 28), torch.tensor([0])
    logs = torch.log_softmax(output.logits, 1)[0]
    smoothed = -(0.8 + 0.05) * logs[0] - 0.05 * logs[1:].sum()  # a fifth of the label is shared by all four
    for loss in (losses.classification_loss, losses.multitask_loss):
        parts = loss(output, images, labels, smoothing=0.2)
        assert parts["cross_entropy"].item() == pytest.approx(smoothed.item(), rel=1e-5)
        plain = loss(output, images, labels)
        assert plain["cross_entropy"].item() == pytest.approx(-logs[0].item(), rel=1e-5)
        with pytest.raises(ValueError, match="smoothing: expected"):
            loss(output, images, labels, smoothing=1.5)
    assert plain["loss"].item() == pytest.approx(-logs[0].item() + 0.25, rel=1e-5)


def test_multitask_loss_refuses():
    output = models.Output(torch.zeros(2, 10), None, None)
    with pytest.raises(ValueError, match="reconstruction"):
        losses.multitask_loss(output, torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]))
    output = output._replace(reconstruction=torch.zeros(2, 28, 28))
    with pytest.raises(ValueError, match="weight"):
        losses.multitask_loss(output, torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]), weight=-1)


def test_the_fine_decoder_has_the_same_parameters_and_draws_single_pixels():
    code = torch.randn(3, 128)
    coarse, fine = models.Decoder().eval(), models.Decoder(fine=True).eval()
    assert models.count_parameters(coarse) == models.count_parameters(fine)
    blocks = coarse(code)
    assert torch.equal(blocks[..., ::2, ::2], blocks[..., 1::2, 1::2])
    pixels = fine(code)
    assert pixels.shape == (3, 1, 28, 28) and not torch.equal(pixels[..., ::2, ::2], pixels[..., 1::2, 1::2])


def test_a_classifier_that_reads_the_drawing_stays_as_it_is(digits):
    reader = models.BaselineCNN("max")
    before = {name: value.clone() for name, value in reader.state_dict().items()}
    model = models.MultiTaskAE(classifier=reader)
    training.fit(model, losses.multitask_loss, digits, training.Recipe(1, 100, 1e-3), progress=False)
    for name, value in model.classifier.state_dict().items():
        assert torch.equal(value, before[name])
    said = model(models.to_input(digits.images[:4]))
    assert torch.equal(said.logits, model.classifier(said.reconstruction.unsqueeze(1)).logits)
    assert models.count_parameters(model) == 412_801 + 31_146


def test_c2ae_compares_every_condition(digits):
    model = models.C2AE(classes=6).eval()
    x = models.to_input(digits.images[:5])
    said = model(x)
    assert said.logits.shape == said.errors.shape == (5, 6)
    for k in range(6):
        drawn = model.decode(said.code, torch.full((5,), k))
        assert torch.allclose((drawn - x.squeeze(1)).abs().mean((1, 2)), said.errors[:, k], atol=1e-6)
        best = said.errors.argmin(1) == k
        assert torch.allclose(said.reconstruction[best], drawn[best], atol=1e-6)
    assert model.train()(x).errors is None
    one, many = (models.infer(model, digits.images[:30], batch_size=size) for size in (30, 7))
    np.testing.assert_allclose(one.errors, many.errors, atol=1e-5)


def test_c2ae_conditions_by_film():
    model = models.C2AE(classes=3).eval()
    code, label = torch.randn(1, 128), torch.tensor([[-1.0, 1.0, -1.0]])
    expected = model.decoder(model.scale(label) * code + model.shift(label)).squeeze(1)
    assert torch.allclose(model.decode(code, torch.tensor([1])), expected)


def test_the_second_stage_leaves_the_first_alone(digits):
    training.seed_everything(0)
    model, few = models.C2AE(), training.Recipe(1, 100, 1e-3, weight_decay=0.01)
    training.fit(model, losses.classification_loss, digits, few, progress=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.freeze()
    loss = partial(losses.c2ae_loss, decode=model.decode)
    training.fit(model, loss, digits, few, progress=False)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"scale", "shift", "decoder"}


def test_c2ae_loss_by_hand():
    images = torch.stack([torch.full((1, 28, 28), value) for value in (0.0, 0.5, 1.0)])
    asked = []

    def decode(code, condition):
        asked.append(condition.tolist())
        return torch.zeros(len(code), 28, 28)

    parts = losses.c2ae_loss(models.Output(None, torch.zeros(3, 128)), images, torch.tensor([4, 4, 7]), decode, 0.9)
    # image 0 is asked for a 7 (its neighbour is image 2), image 1 has a neighbour of its own class, image 2 for a 4
    assert asked == [[4, 4, 7, 7, 4]]
    assert parts["match"].item() == pytest.approx(0.5)
    assert parts["nonmatch"].item() == pytest.approx((1.0 + 0.5) / 2)
    assert parts["loss"].item() == pytest.approx(0.9 * 0.5 + 0.1 * 0.75)


def test_c2ae_loss_refuses_drawings_of_another_shape():
    # with one axis more, each drawing would be compared with every image
    said, images, labels = models.Output(None, torch.zeros(3, 128)), torch.rand(3, 1, 28, 28), torch.tensor([4, 4, 7])
    for shape in ((5, 1, 28, 28), (5, 784), (3, 28, 28), (5, 28, 1)):
        with pytest.raises(ValueError, match=r"decode's answer: expected .* \[5, 28, 28\], got"):
            losses.c2ae_loss(said, images, labels, lambda code, condition, shape=shape: torch.zeros(shape))


def test_c2ae_loss_of_one_class():
    images, code = torch.ones(2, 1, 28, 28), torch.zeros(2, 128)
    blank = lambda code, condition: torch.zeros(len(code), 28, 28)  # noqa: E731
    parts = losses.c2ae_loss(models.Output(None, code), images, torch.tensor([1, 1]), blank)
    assert parts["nonmatch"].item() == 0 and parts["loss"].item() == pytest.approx(0.9)
    with pytest.raises(ValueError, match="alpha"):
        losses.c2ae_loss(models.Output(None, code), images, torch.tensor([1, 1]), blank, alpha=1.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["mtae", "c2ae"])
def test_weights_of_another_type(name, dtype, digits):
    plain = models.infer(zoo.load(name), digits.images[:20])
    other = models.infer(zoo.load(name).to(dtype), digits.images[:20])
    assert other.logits.dtype == np.float32
    close = 1e-4 if dtype == torch.float64 else 0.05
    np.testing.assert_allclose(other.reconstruction, plain.reconstruction, atol=10 * close)
    assert np.abs(other.logits - plain.logits).mean() < close * np.abs(plain.logits).max()
    assert len(models.layer_table(zoo.load(name).to(dtype))) == len(models.layer_table(zoo.load(name)))


def test_images_that_are_mirrored_read_only_or_of_another_layout(mtae, digits):
    images = digits.images[:20]
    locked = images.copy()
    locked.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (images[::-1].copy()[::-1], np.asfortranarray(images), locked):
            np.testing.assert_array_equal(models.infer(mtae, same).code, models.infer(mtae, images).code)
        mirrored = models.infer(mtae, images[:, :, ::-1]).code
    np.testing.assert_array_equal(mirrored, models.infer(mtae, images[:, :, ::-1].copy()).code)


def test_a_model_without_weights_lives_on_the_cpu():
    assert models.home(torch.nn.Identity()) == (torch.device("cpu"), torch.float32)


def test_gram_matrix_takes_each_image_alone():
    features = torch.rand(4, 3, 5, 5)
    together = losses.gram_matrix(features)
    assert together.shape == (4, 3, 3)
    for image, matrix in zip(features, together, strict=True):
        assert torch.allclose(losses.gram_matrix(image[None])[0], matrix)
    assert torch.equal(losses.style_loss(features, features), torch.zeros(4))


def test_gram_matrix_by_hand():
    features = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]]])  # two maps of three positions
    assert torch.allclose(losses.gram_matrix(features), torch.tensor([[[5.0, 2.0], [2.0, 10.0]]]) / 6)
    target = torch.zeros(1, 2, 3)
    assert losses.style_loss(features, target).item() == pytest.approx((25 + 4 + 4 + 100) / 36 / 4)
    assert losses.content_loss(features, target).item() == pytest.approx(15 / 6)


@pytest.mark.parametrize(
    "wrong", [None, torch.rand(3, 4), torch.zeros(0, 3, 4), torch.ones(2, 3, 4, dtype=torch.int64)]
)
def test_gram_matrix_refuses(wrong):
    with pytest.raises(ValueError, match="features: expected"):
        losses.gram_matrix(wrong)


def test_losses_of_two_shapes():
    for loss in (losses.style_loss, losses.content_loss):
        with pytest.raises(ValueError, match="one shape"):
            loss(torch.rand(2, 3, 4), torch.rand(2, 3, 5))
        with pytest.raises(ValueError, match="features: expected a dense tensor"):
            loss(None, torch.rand(2, 3, 4))


@pytest.mark.parametrize("orders", [(), (0,), (1.5,), (-1, 2), 3, None])
def test_gram_features_refuse_orders(orders):
    with pytest.raises(ValueError, match="orders: expected"):
        models.GramFeatures(models.BaselineCNN("max"), orders)


@pytest.mark.parametrize(
    "run", [models.layer_table, lambda model: models.infer(model, np.zeros((2, 28, 28), np.uint8))]
)
def test_a_look_at_a_model_leaves_every_part_in_its_mode(run):
    inner = models.MultiTaskAE().eval()
    inner.decoder.train()
    model = models.GramFeatures(inner)  # built in training mode, around one that is not
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    run(model)
    assert [module.training for module in model.modules()] == before
    model.model.encoder.register_forward_hook(lambda *_: 1 / 0)
    model.model.encoder[0].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(model)
    assert [module.training for module in model.modules()] == before
    assert len(model.model.encoder[0]._forward_hooks) == 1  # the table's own are gone


def test_threads_that_share_a_model_in_training(digits):
    model = zoo.build("mtae")
    before, wanted = copy.deepcopy(model.state_dict()), models.infer(zoo.build("mtae"), digits.images).logits
    with ThreadPool(4) as threads:
        said = threads.map(lambda _: models.infer(model, digits.images, 50).logits, range(8))
    for logits in said:
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
    assert model.training and all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_gram_features_want_a_classifier_of_codes():
    with pytest.raises(ValueError, match="model: expected one that classifies its code"):
        models.GramFeatures(zoo.load("mtae-cnn"))
