"""Many runs of one function: on the cores of this machine, or on the workers of a Dask cluster.

A sweep maps a function over configurations. Both are plain: a configuration is a dict of the function's keyword
arguments that JSON can hold, and the function returns a row, another such dict. It must be importable where it runs,
and depend on nothing else.
"""

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
from osrlib.checks import Count, Function, several


def run(
    function: Function,
    configurations: several(dict),
    file: checks.Path,
    *,
    backend: Literal["loky", "dask"] = "loky",
    scheduler: str | None = None,
    jobs: Count | Literal[-1] = -1,
    progress: bool = True,
) -> list:
    """Run the function on each configuration: a list of the rows that succeeded, in the order given.

    A row comes back with its configuration in it; the two must not share a key.
    Each row is written to ``file`` (JSON Lines) as soon as it is there. A later call with the same file runs only what
    is missing; after a change of the function, start with a new file, or have its version in the configuration. A
    configuration that fails is reported on stderr, with its traceback, and left out; the others go on.
    Torch's random numbers belong to a process: give Dask workers one thread each (``--nthreads 1``).

    backend: "loky", processes on this machine, or "dask", with the scheduler's address (``tcp://host:8786``); jobs: how
    many at once, -1 for as many as there are cores or workers; progress: show a bar with the time left.
    ValueError for configurations that occur twice. SystemExit, with a word on what is kept, where the sweep is
    interrupted or a worker process dies.
    """
    if (scheduler is None) == (backend == "dask"):
        raise ValueError("scheduler: expected an address with the backend dask, and with no other")
    wanted = {_key(configuration): configuration for configuration in configurations}
    if len(wanted) < len(configurations):
        raise ValueError("configurations: expected each once")
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    done = _read(file)
    waiting = [configuration for key, configuration in wanted.items() if key not in done]
    with ExitStack() as stack:
        if backend == "dask":
            from dask.distributed import Client

            client = stack.enter_context(Client(scheduler))
            stack.enter_context(joblib.parallel_config("dask", client=client))
        log = stack.enter_context(file.open("a", encoding="utf-8"))
        bar = tqdm(total=len(wanted), initial=len(wanted) - len(waiting), disable=not progress, unit="row")
        stack.enter_context(bar)
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
                    bar.write(f"failed: {json.dumps(configuration)}\n{error}", file=sys.stderr)
                bar.update()
        except (KeyboardInterrupt, joblib.externals.loky.process_executor.TerminatedWorkerError) as end:
            why = "interrupted" if isinstance(end, KeyboardInterrupt) else f"a worker died ({end})"
            sys.exit(f"{why}: {len(done)} rows are kept in {file}; the next run goes on from there")
    rows = [configuration | done[key] for key, configuration in wanted.items() if key in done]
    if failed := len(wanted) - len(rows):
        print(f"{failed} of {len(wanted)} rows failed, see above; the next run tries them again", file=sys.stderr)
    return rows


def _attempt(function, configuration):
    try:
        # of a copy: a configuration that is changed would not be found again
        row = function(**json.loads(json.dumps(configuration)))
        row = json.loads(json.dumps(row, allow_nan=False))  # as a resumed sweep would read it
        if not isinstance(row, dict) or set(row) & set(configuration):
            raise ValueError(f"row: expected a dict with no key of its configuration, got {checks.describe(row)}")
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
    content = file.read_bytes() if file.exists() else b""
    end = content.rfind(b"\n") + 1
    try:
        done = {_key(configuration): {**row} for configuration, row in map(json.loads, content[:end].splitlines())}
        json.dumps(list(done.values()), allow_nan=False)  # a sweep has written no NaN
        if content[end:] and not content[end:].startswith(b"["):
            raise ValueError("a last line that is none")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected the rows of a sweep, got something else ({error})") from error
    if content[end:]:
        os.truncate(file, end)
    return done


checks.guard(__name__)
