"""The protocol's runs: every network, split and seed, into ``results/protocol.csv`` and ``reference.json``.

    python book/protocol.py                                    on this machine: about an hour and a half on two cores
    python book/protocol.py --backend dask --scheduler tcp://host:8786

What is finished stays finished: an interrupted sweep goes on where it stopped. A Dask worker needs osrlib and MNIST.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from osrlib import _files, data, protocol, sweep

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "_build" / "protocol.jsonl"
RESULTS = ROOT / "book" / "results" / "protocol.csv"
REFERENCE = ROOT / "book" / "results" / "reference.json"
MEASURES = ("auroc", "oscr", "closed_accuracy")


def table(rows):
    """One line a method and run: a DataFrame, in the order of the configurations."""
    keys = ("network", "splits", "split", "seed", "closed_accuracy", "train_seconds")
    return pd.DataFrame(
        [
            {key: row[key] for key in keys} | {"method": method} | measured
            for row in rows
            for method, measured in row["methods"].items()
        ]
    )


def summary():
    """What ``reference.json`` says of the protocol: per list, network and method mean and spread over splits and seeds.

    ``std`` is over the means of the five splits (how much the splits differ), ``std_seeds`` the mean, over splits, of
    the standard deviation over seeds (how much a repetition differs).
    """
    rows = pd.read_csv(RESULTS)
    answer = {"seeds": sorted(rows.seed.unique().tolist()), "runs": len(rows.groupby(list(rows.columns[:4])))}
    for splits, part in rows.groupby("splits"):
        answer[splits] = {}
        for (network, method), group in part.groupby(["network", "method"], sort=False):
            by_split = group.groupby("split")[list(MEASURES)]
            means, within = by_split.mean(), by_split.std()
            answer[splits].setdefault(network, {})[method] = {
                measure: {
                    "mean": float(means[measure].mean()),
                    "std": float(means[measure].std()),
                    "std_seeds": float(within[measure].mean()),
                    "by_split": means[measure].round(6).tolist(),
                }
                for measure in MEASURES
            }
    return answer


def main():
    """Run what is missing, write what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sweep.add_options(parser)
    options = parser.parse_args()
    for split in ("train", "test"):  # once, before many workers ask for it
        data.load("mnist", split)
    where = {"backend": options.backend, "scheduler": options.scheduler, "jobs": options.jobs}
    wanted = protocol.configurations()
    rows = sweep.run(protocol.row, wanted, RUNS, **where)
    if len(rows) < len(wanted):
        sys.exit("Some runs failed, see above: the published table stays as it is")
    _files.write(RESULTS, table(rows).round(6).to_csv(index=False))
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    reference["protocol"] = summary()
    _files.write(REFERENCE, json.dumps(reference, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
