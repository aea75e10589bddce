"""Would the tests notice? Changes the code of the core in one place at a time, and runs the tests that reach it.

    python .ci/mutation.py          an hour or so on two cores; results are kept in mutants/ and gone on with

mutmut makes the mutants, as ``[tool.mutmut]`` in pyproject.toml says, and knows which tests reach which function. This
prints the share that was killed, by module, and the survivors. It fails where a module has less than 85 %.
``mutmut show NAME`` prints what was changed.
"""

import collections
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WANTED = 0.85
KILLED = ("killed", "timeout", "segfault", "caught by type check")
"""A mutant that ends in an endless loop or takes the interpreter down has been noticed too."""


def main():
    """Run mutmut and print its score. Returns the exit code."""
    mutmut = [sys.executable, "-m", "mutmut"]
    ran = subprocess.run([*mutmut, "run"], cwd=ROOT).returncode
    told = subprocess.run([*mutmut, "results", "--all", "true"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.findall(r"^\s*(osrlib\.(\w+)\.\S+): (.+)$", told.stdout, re.MULTILINE)
    modules = collections.defaultdict(collections.Counter)
    for name, module, verdict in found:
        modules[module][verdict] += 1
        if verdict not in KILLED:
            print(f"{verdict}: {name}")
    short = not modules or ran != 0
    for module, verdicts in sorted(modules.items()):
        killed, count = sum(verdicts[verdict] for verdict in KILLED), verdicts.total()
        short |= killed < WANTED * count
        print(f"{module:12} {killed:4} of {count:4} killed, {killed / count:.1%}  ({dict(verdicts)})")
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
