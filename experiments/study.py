"""What every experiment does: from configurations to rows, and from what is made of them to files.

An experiment is a module with ``configurations`` and ``row``, which :mod:`osrlib.sweep` runs, and with what makes a
table or a summary of the rows.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from osrlib import UNKNOWN, data, files, metrics, sweep

ROOT = Path(__file__).parents[1]
BUILD, RESULTS, PICTURES = ROOT / "_build", ROOT / "experiments" / "results", ROOT / "book" / "_static"

KEEP_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647"}
"""What the Makefile tells glibc."""


def options(about, anywhere=False):
    """What the command line says, for :func:`rows`. anywhere: may rows be made side by side, or on a cluster?"""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if anywhere:
        parser.add_argument("--backend", choices=("loky", "dask"), default="loky", help="where to run")
        parser.add_argument("--scheduler", metavar="ADDRESS", help="of the Dask cluster, as tcp://host:8786")
        parser.add_argument("--jobs", type=int, default=-1, help="how many at once (default: one a core or worker)")
        return vars(parser.parse_args())
    parser.parse_args()
    return {"jobs": 1, "progress": False}


def rows(function, configurations, file, **options):
    """The row of every configuration; those in the file are not made again. SystemExit where one is missing."""
    made = sweep.run(function, configurations, file, **options)
    if len(made) < len(configurations):
        sys.exit("Not every row is there, see above: what is published stays as it is")
    return made


def write(file, content):
    """Write a table as CSV, a text as it is, and a tree as JSON."""
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False)
    elif not isinstance(content, str):
        content = json.dumps(rounded(content), indent=1, allow_nan=False) + "\n"
    files.write(file, content)
    print(f"Wrote {file}")


def draw(figure, name):
    """Write a figure as a picture of the book, and as one for the dark beside it."""
    from tools import dark, panels  # not before: with it comes IPython, in processes whose memory is measured

    file, options = PICTURES / f"{name}.png", {"format": "png", "dpi": 160, "bbox_inches": "tight"}
    with files.whole(file) as light:
        figure.savefig(light, **options)
    with dark.darkened(figure), files.whole(dark.name(file)) as second:
        figure.savefig(second, metadata=panels.text(figure), **options)


def rounded(tree):
    """Floats with six significant digits: more would be noise."""
    if isinstance(tree, dict):
        return {key: rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [rounded(value) for value in tree]
    return float(f"{tree:.6g}") if isinstance(tree, float) else tree


def provenance(experiment):
    """Who measured this: command, date, machine, versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    names = ("torch", "torchvision", "numpy", "scikit-learn", "scikit-image", "safetensors")
    return {
        "command": f"python -m experiments.{experiment}",
        "data": {name: data.digest(name) for name in data.load_all(("mnist", "fashion", "cifar10"))[0]},
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {processor or platform.processor()}, "
        f"{os.cpu_count()} cores",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
    }


def in_a_fresh_process(module, function, keep_freed_memory=True, **arguments):
    """What a function of an experiment returns there. keep_freed_memory: as the Makefile has it, or as glibc has it."""
    print(function, *(f"{name}={value}" for name, value in arguments.items()), flush=True)
    call = f"import json; from experiments import {module}; print(json.dumps({module}.{function}(**{arguments!r})))"
    environment = {name: value for name, value in os.environ.items() if name not in KEEP_FREED_MEMORY}
    if keep_freed_memory:
        environment |= KEEP_FREED_MEMORY
    # in a session of its own: Ctrl-C reaches the sweep alone, which then ends this part of it
    ran = subprocess.run(
        [sys.executable, "-c", call], check=True, stdout=subprocess.PIPE, text=True, start_new_session=True,
        cwd=ROOT, env=environment,
    )  # fmt: skip
    return json.loads(ran.stdout.splitlines()[-1])


def judged(labels, known, unknown):
    """The report's accuracies. labels: of the known digits; known, unknown: what was said of these and of others."""
    return metrics.osr_report(np.r_[labels, np.full(len(unknown), UNKNOWN)], np.r_[known, unknown])


def start(main):
    """Run the main function of an experiment."""
    for stream in (sys.stdout, sys.stderr):  # where a console lacks a letter, it prints a ?
        stream.reconfigure(errors="replace")
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted: finished rows are kept; the next run goes on from there")
