"""The report's rule with its authors' own weights: chapter 7's ladder, and the accuracy of their baseline.

    python -m experiments.authors            fetches both files from the authors' repository; a minute
    python -m experiments.authors --mtae FILE --baseline FILE         takes copies that are at hand

The repository (github.com/yyyuv/OSR-Classifier) has no licence: its weights are measured here, and not passed on.
Writes ``experiments/results/authors.json``.
"""

import argparse
import hashlib
import io
import urllib.request
from pathlib import Path

import safetensors.torch
import torch

from experiments import ladder, study
from osrlib import data, models
from osrlib.output import infer

COMMIT = "32ffa09f8cb271623bb4cfd0c24eb92a82d927f6"
ADDRESS = f"https://raw.githubusercontent.com/yyyuv/OSR-Classifier/{COMMIT}"
SHA256 = {
    "reconstruct_model": "af45ec34ae98402ee476cedadc15e17fc39aa3821dff1a64ea43fdcb44c1eed2",
    "baseline_model": "9a3aa871b01c55af24d46703aa507ae3655d1abafaa437814b38f6f3fb54ca1a",
}
NAMES = {
    "bn1": "norm1", "bn2": "norm2", "fc1": "linear", "fc2": "classifier.0", "clf.0": "classifier",
    "decoder.bn1": "decoder.norm",
}  # fmt: skip
"""What the authors call a layer, and what the book does."""


def fetched(name):
    """The content of a file of the authors' repository."""
    with urllib.request.urlopen(f"{ADDRESS}/{name}", timeout=30) as answer:
        return answer.read()


def state(content, name):
    """The weights in a file, under the book's names. A file of safetensors is taken as a converted copy.

    ValueError for a file as PyTorch writes it whose SHA-256 is not the published one.
    """
    found = hashlib.sha256(content).hexdigest()
    if content[8:9] == b"{":
        weights = safetensors.torch.load(content)
    elif found == SHA256[name]:
        weights = torch.load(io.BytesIO(content), weights_only=True)  # noqa: TID251 weights alone, and known ones
    else:
        raise ValueError(f"{name}: expected SHA-256 {SHA256[name]}, got {found}")
    return {renamed(key): value for key, value in weights.items()}


def renamed(key):
    """The book's name for one of the authors' weights."""
    layer, kind = key.rsplit(".", 1)
    *module, last = layer.split(".")
    name = NAMES.get(layer) or ".".join([*module, NAMES.get(last, last)])
    return f"{name}.{kind}"


def networks(mtae=None, baseline=None):
    """The authors' autoencoder and baseline, from these files; those that are not given are fetched."""
    made = []
    for name, file, network in (
        ("reconstruct_model", mtae, models.MultiTaskAE()),
        ("baseline_model", baseline, models.BaselineCNN()),
    ):
        network.load_state_dict(state(Path(file).read_bytes() if file else fetched(name), name))
        made.append(network.eval())
    return made


def measure(autoencoder, baseline):
    """What ``authors.json`` holds."""
    digits = data.load("mnist")
    worlds = {name: infer(autoencoder, data.load(name).images).guess for name in ladder.STATISTICS}
    return {
        "provenance": study.provenance("authors") | {"weights": {"commit": COMMIT, "sha256": SHA256}},
        "baseline_accuracy": float((infer(baseline, digits.images).guess == digits.labels).mean()),
        "closed_accuracy": float((worlds["mnist"] == digits.labels).mean()),
        **ladder.measure(autoencoder, seed=0),
    }


def main():
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("mtae", "baseline"):
        parser.add_argument(f"--{option}", metavar="FILE", help="a copy that is at hand, as published or converted")
    study.write(study.RESULTS / "authors.json", measure(*networks(**vars(parser.parse_args()))))


if __name__ == "__main__":
    study.start(main)
