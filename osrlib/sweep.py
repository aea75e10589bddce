"""Many runs of one function: on the cores of this machine, or on the workers of a Dask cluster.

A sweep maps a function over configurations. Both are plain: a configuration is a dict of the function's keyword
arguments that JSON can hold, and the function returns a row, another such dict. It must be importable where it runs,
and depend on nothing else.
"""

import argparse
import json
import os
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import joblib
from tqdm import tqdm

from osrlib import checks
from osrlib.checks import Function, several, whole_number


def run(
    function: Function,
    configurations: several(dict),
    file: checks.Path,
    *,
    backend: Literal["loky", "dask"] = "loky",
    scheduler: str | None = None,
    jobs: whole_number(-1) = -1,
    progress: bool = True,
) -> list:
    """Run the function on each configuration: a list of the rows that succeeded, in the order given.

    A row comes back with its configuration in it; the two must not share a key.
    Each row is written to ``file`` (JSON Lines) as soon as it is there. A later call with the same file runs only what
    is missing; after a change of the function, start with a new file. A configuration that fails is reported on stderr,
    with its traceback, and left out; the others go on.

    Torch's random numbers belong to a process: give Dask workers one thread each (``--nthreads 1``).

    backend: "loky", processes on this machine, or "dask", with the scheduler's address (``tcp://host:8786``); jobs: how
    many at once, -1 for as many as there are cores or workers; progress: show a bar with the time left.
    ValueError for configurations that occur twice. SystemExit, with a word on what is kept, where the sweep is
    interrupted or a worker process dies.
    """
    if (scheduler is None) == (backend == "dask"):
        raise ValueError("scheduler: expected an address with the backend dask, and with no other")
    if jobs == 0:
        raise ValueError("jobs: expected a whole number ≥ 1, or -1, got 0")
    keys = [_key(one) for one in configurations]
    if len(set(keys)) < len(keys):
        raise ValueError("configurations: expected each once")
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    done = _read(file)
    waiting = [configuration for configuration, key in zip(configurations, keys, strict=True) if key not in done]
    failed = 0
    with ExitStack() as stack:
        if backend == "dask":
            from dask.distributed import Client

            client = stack.enter_context(Client(scheduler))
            stack.enter_context(joblib.parallel_config("dask", client=client))
        log = stack.enter_context(file.open("a", encoding="utf-8"))
        bar = stack.enter_context(
            tqdm(total=len(keys), initial=len(keys) - len(waiting), disable=not progress, unit="row")
        )
        # one configuration a task: rows are written as they come, and a long one holds up no other
        parallel = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)
        try:
            for configuration, row, error in parallel(joblib.delayed(_attempt)(function, one) for one in waiting):
                if error is None:
                    log.write(json.dumps([configuration, row], allow_nan=False) + "\n")
                    log.flush()
                    os.fsync(log.fileno())
                    done[_key(configuration)] = row
                else:
                    failed += 1
                    bar.write(f"failed: {json.dumps(configuration)}\n{error}", file=sys.stderr)
                bar.update()
        except (KeyboardInterrupt, joblib.externals.loky.process_executor.TerminatedWorkerError) as end:
            why = "interrupted" if isinstance(end, KeyboardInterrupt) else f"a worker died ({end})"
            sys.exit(f"{why}: {len(done)} rows are kept in {file}; the next run goes on from there")
    if failed:
        print(f"{failed} of {len(keys)} rows failed, see above; the next run tries them again", file=sys.stderr)
    return [one | done[key] for one, key in zip(configurations, keys, strict=True) if key in done]


def add_options(parser: argparse.ArgumentParser):
    """Give an ``argparse`` parser the options of :func:`run`: --backend, --scheduler, --jobs."""
    parser.add_argument("--backend", choices=("loky", "dask"), default="loky", help="where to run")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of the Dask cluster, as tcp://host:8786")
    parser.add_argument("--jobs", type=int, default=-1, help="how many at once (default: one a core or worker)")


def _attempt(function, configuration):
    try:
        # of a copy: a configuration that is changed would not be found again
        row = function(**json.loads(json.dumps(configuration)))
        if not isinstance(row, dict):
            raise ValueError(f"row: expected a dict, got {type(row).__name__}")
        row = json.loads(json.dumps(row, allow_nan=False))  # as a resumed sweep would read it
        if shared := set(row) & set(configuration):
            raise ValueError(f"row: expected no key of its configuration, got {', '.join(sorted(shared))}")
    except (Exception, SystemExit):  # whatever goes wrong in one row must not stop the others
        return configuration, None, traceback.format_exc()
    return configuration, row, None


def _key(configuration):
    try:
        return json.dumps(configuration, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"configurations: expected dicts that JSON can hold, got another ({error})") from error


def _read(file):
    """Finished rows by configuration. A last line without its end is what an interrupted run left: it is cut off."""
    if not file.exists():
        return {}
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        done = {}
        for configuration, row in map(json.loads, whole.splitlines()):
            done[_key(configuration)] = {**row}
            json.dumps(row, allow_nan=False)  # a sweep has written no NaN
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected the rows of a sweep, got something else ({error})") from error
    if len(whole) < len(content) and content[len(whole) :].startswith(b"["):
        with file.open("r+b") as log:
            log.truncate(len(whole))
    elif len(whole) < len(content):
        raise ValueError(f"{file}: expected the rows of a sweep, got a last line that is none")
    return done


checks.guard(__name__)
