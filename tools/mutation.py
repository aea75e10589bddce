"""Would the tests notice? Changes the code of the core in one place at a time, and runs the tests that reach it.

    python -m tools.mutation                     every module of the core, about ten minutes on two cores
    python -m tools.mutation detector losses     these modules
    python -m tools.mutation --resume            goes on where an interrupted run of all stopped, as mutants/ has it

mutmut makes the mutants, as ``[tool.mutmut]`` in pyproject.toml says, and knows which tests reach which function. This
prints the share that was killed, by module, and the survivors, and writes both to
``experiments/results/mutation.json``, which the status page prints. It fails where a module has less than 85 %.
``mutmut show NAME`` prints what was changed.
"""

import collections
import datetime
import json
import re
import subprocess
import sys

from osrlib import files
from tools import pages, paths

RESULTS = paths.RESULTS / "mutation.json"
WANTED = 0.85
KILLED = ("killed", "timeout", "segfault", "caught by type check")
"""A mutant that ends in an endless loop or takes the interpreter down has been noticed too."""


def core():
    """The modules that are mutated, by name."""
    settings = (paths.ROOT / "pyproject.toml").read_text(encoding="utf-8")  # Python 3.10 has no tomllib
    (listed,) = re.findall(r"^only_mutate = \[(.*?)\]$", settings, re.MULTILINE | re.DOTALL)
    return sorted(set(re.findall(r"osrlib/(\w+)", listed)))


def main(modules):
    """Run mutmut, print its score and write it. Returns the exit code."""
    resume = modules == ["--resume"]
    modules = core() if resume or not modules else modules
    if unknown := set(modules) - set(core()):
        print(f"modules: {', '.join(core())}. Not one of them: {', '.join(unknown)}", file=sys.stderr)
        return 2
    # mutmut tries those again that it is given by name, and of the others those that it has no verdict on
    names = [] if resume else [f"osrlib.{module}.*" for module in modules]
    mutmut = [sys.executable, "-m", "mutmut"]
    ran = subprocess.run([*mutmut, "run", *names], cwd=paths.ROOT).returncode
    results = [*mutmut, "results", "--all", "true"]
    told = subprocess.run(results, cwd=paths.ROOT, capture_output=True, text=True, check=True)
    found = collections.defaultdict(dict)
    for name, module, verdict in re.findall(r"^\s*(osrlib\.(\w+)\.\S+): (.+)$", told.stdout, re.MULTILINE):
        found[module][name] = verdict
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    short = ran != 0
    for module in modules:
        verdicts = collections.Counter(found[module].values())
        killed, count = sum(verdicts[verdict] for verdict in KILLED), verdicts.total()
        if not count or verdicts["not checked"]:
            print(f"{module:12} not done: {dict(verdicts)}", file=sys.stderr)
            short = True
            continue
        short |= killed < WANTED * count
        print(f"{module:12} {killed:4} of {count:4} killed, {killed / count:.1%}  ({dict(verdicts)})")
        survivors = sorted(name for name, verdict in found[module].items() if verdict not in KILLED)
        print(*survivors, sep="\n")
        rows[module] = {
            "killed": killed,
            "mutants": count,
            "survivors": survivors,
            "commit": pages.commit(),
            "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        }
    files.write(RESULTS, json.dumps(dict(sorted(rows.items())), indent=1) + "\n")
    return int(short)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. What was tried is kept in mutants/; python -m tools.mutation --resume goes on.")
