"""The command line: ``python -m osrlib decide FOLDER --rule rule.safetensors --csv out.csv``."""

import argparse
import sys

from osrlib import bulk


def main(arguments=None):
    """Decide, and say what came of it.

    Exit codes: 0, every file was decided; 1, stopped or failed before the end, and the same command goes on; 2, the
    command cannot be carried out; 3, the table is there, and some files were skipped.
    """
    parser = argparse.ArgumentParser(prog="python -m osrlib", description="Detectors of osrlib on the command line.")
    commands = parser.add_subparsers(dest="command", required=True)
    decide = commands.add_parser("decide", help="name or refuse every picture of a folder")
    decide.add_argument("folder", help="pictures, or npz files that hold images, uint8 [N, 28, 28]")
    decide.add_argument("--rule", required=True, help="a detector's file, as detector.save(…) wrote it")
    decide.add_argument("--csv", required=True, help="the table to write: file, label, guess, p-value, notes")
    decide.add_argument("--jobs", type=int, default=1, help="how many parts at once (default: 1; -1: one a core)")
    decide.add_argument("--backend", choices=("loky", "dask"), default="loky", help="where to decide")
    decide.add_argument("--scheduler", metavar="ADDRESS", help="of the Dask cluster, as tcp://host:8786")
    asked = parser.parse_args(arguments)
    try:
        told = bulk.decide(
            asked.folder, asked.rule, asked.csv, jobs=asked.jobs, backend=asked.backend, scheduler=asked.scheduler
        )
    except (ValueError, OSError) as error:
        decide.error(str(error))
    for name, why in told["skipped"].items():
        print(f"skipped {name}: {why}", file=sys.stderr)
    print(f"{told['decided']:,} decided, {told['unknown']:,} of them unknown; {len(told['skipped']):,} skipped")
    if told["failed"]:
        print(f"{told['failed']} parts failed, see above: no table yet", file=sys.stderr)
        return 1
    return 3 if told["skipped"] else 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):  # where a console lacks a letter, it prints a ?
        stream.reconfigure(errors="replace")
    sys.exit(main())
