"""The protocol's runs: every network, split and seed, into ``results/protocol.csv`` and ``reference.json``.

    python -m experiments.run_protocol          on this machine: two and a half hours on two cores
    python -m experiments.run_protocol --backend dask --scheduler tcp://host:8786

What is finished stays finished: an interrupted sweep goes on where it stopped. A Dask worker needs osrlib and MNIST.
"""

import pandas as pd

from experiments import study
from osrlib import data, protocol, zoo

ROWS = study.BUILD / "protocol.jsonl"
TABLE = study.RESULTS / "protocol.csv"
MEASURES = ["auroc", "oscr", "refused", "closed_accuracy"]


def table(rows):
    """One line a method and run, in the order of the configurations."""
    keys = ("network", "splits", "split", "seed", "closed_accuracy", "train_seconds")
    return pd.DataFrame(
        {key: row[key] for key in keys} | {"method": method} | measured
        for row in rows
        for method, measured in row["methods"].items()
    )


def summary():
    """What ``reference.json`` says of the protocol: per list, network and method mean and spread over splits and seeds.

    ``std`` is over the means of the five splits (how much the splits differ), ``std_seeds`` the mean, over splits, of
    the standard deviation over seeds (how much a repetition differs), None for what has one run a split.
    """
    lines = pd.read_csv(TABLE)
    runs = lines.groupby(["network", "splits", "split", "seed"])
    answer = {"seeds": sorted(lines.seed.unique().tolist()), "runs": len(runs)}
    # the quickest run is the one that was disturbed least
    answer["seconds"] = lines.groupby("network")["train_seconds"].min().to_dict()
    for (splits, network, method), group in lines.groupby(["splits", "network", "method"], sort=False):
        by_split = group.groupby("split")[MEASURES]
        means, within = by_split.mean(), by_split.std()
        answer.setdefault(splits, {}).setdefault(network, {})[method] = {
            measure: {
                "mean": float(means[measure].mean()),
                "std": float(means[measure].std()),
                "std_seeds": None if within[measure].isna().any() else float(within[measure].mean()),
                "by_split": means[measure].round(6).tolist(),
            }
            for measure in MEASURES
        }
    return answer


def main():
    """Make the rows that are missing, and write the table and what it comes to."""
    options = study.options(__doc__, anywhere=True)
    for split in ("train", "test"):  # once, before many workers ask for it
        data.load("mnist", split)
    rows = study.rows(protocol.row, protocol.configurations(), ROWS, **options)
    study.write(TABLE, table(rows).round(6))
    study.write(zoo.WEIGHTS / "reference.json", zoo.reference() | {"protocol": summary()})


if __name__ == "__main__":
    study.start(main)
