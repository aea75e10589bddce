"""Runs chapters: one, or many side by side, with what each took of time and memory."""

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

import nbformat
import papermill
import psutil
from traitlets.config import Config

from osrlib import data, files
from osrlib.speed import remember
from tools import chapters, dark, paths
from tools.chapters import GRADED, BuildError, fill_notebook, glued, to_notebook
from tools.kernels import by_files


def missing_worlds():
    """The report's unknown worlds that cannot be had on this machine."""
    ready = data.available()
    return [name for name in ("fashion", "cifar10") if not ready[name][0]]


def run_cells(raw, themes=False):
    """Run a notebook, a path, in its place. Returns what it has become. themes: draw figures for the dark too."""
    more = [f"--IPKernelApp.extensions={dark.__name__}"] if themes else []
    with by_files() as settings:
        return papermill.execute_notebook(
            raw, raw, kernel_name="python3", cwd=paths.NOTEBOOKS, progress_bar=sys.stderr.isatty(),
            config=Config(KernelManager=settings), extra_arguments=more,
        )  # fmt: skip


def execute(name, target, told=None, address=None, themes=False):
    """Run one chapter from its source and write the notebook to ``target``: what it took, as a dict.

    told: what its box says of time and memory (default: what it took now); address: as in :func:`chapters.config`;
    themes: as in :func:`run_cells`.
    """
    raw = paths.BUILD / "run" / f"{name}.ipynb"
    raw.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(to_notebook(name, address=address), raw)
    start, memory = time.perf_counter(), PeakMemory()
    try:
        with memory:
            run = run_cells(raw, themes)
    except papermill.PapermillExecutionError as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
        place = f"{name}, cell {error.cell_index} (In [{error.exec_count}])"
        raise BuildError(f"{place} failed:\n{error.source}\n\n{message}") from None
    except RuntimeError as error:
        raise BuildError(f"{name}: the kernel died, most likely for lack of memory ({error})") from None
    for cell in run.cells:
        verdict = str(cell.outputs[-1]) if GRADED.search(cell.source) and cell.outputs else ""
        if "not yet. " in verdict or "nothing here yet" in verdict:
            raise BuildError(
                f"{name}: a solution does not pass its own grader: {cell.outputs[-1]['data']['text/plain']}"
            )
    took = {"seconds": round(time.perf_counter() - start, 1), "gibibytes": round(memory.peak / 2**30, 2)}
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    cores = f"{threads} CPU core{'s' if threads > 1 else ''}"
    cost = told or f"{took['seconds']:.0f} seconds and {took['gibibytes']:.1f} GiB on {cores}"
    # where a world is missing, the committed notebook still knows what the reference run measured
    committed, stand_ins = paths.NOTEBOOKS / f"{name}.ipynb", {}
    if missing_worlds() and committed.exists():
        stand_ins = glued(nbformat.read(committed, as_version=4))
    fill_notebook(run, glued(run), cost, name, stand_ins)
    run.metadata.pop("papermill", None)
    run.metadata["osrlib"]["cost"] = cost
    for cell in run.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    files.write(target, f"{nbformat.writes(run)}\n")
    return took


class PeakMemory:
    """The largest resident memory that this process's children had together, in bytes, sampled five times a second."""

    def __enter__(self):
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.2):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:  # it ended between the two calls
                    continue
            self.peak = max(self.peak, total)


MEMORY = 3 * 2**30
"""What a chapter may need, in bytes; the largest takes 2.5 GiB."""


def default_jobs():
    """How many chapters run at once: one a core, as far as memory goes."""
    return max(1, min(os.cpu_count(), psutil.virtual_memory().available // MEMORY))


def execute_all(names, folder, jobs, address=None, themes=False):
    """Run chapters, so many at a time, saying how far it is: dict name → what it took.

    Alone, a chapter measures its own cost. Side by side, chapters share cores and results, and a reader in Colab does
    neither: then the boxes keep what the committed notebooks say.
    """
    try:
        data.load("mnist")
    except data.Unavailable as error:
        raise BuildError(f"The book cannot do without MNIST. {error}") from None
    # no chapter asks the network again for a world that could not be had; kernels run in another folder than this
    os.environ.setdefault("OSRLIB_OFFLINE", "1")
    os.environ["OSRLIB_DATA"] = str(data.cache_dir().resolve())
    os.environ["PYTHONPATH"] = os.pathsep.join([str(paths.ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    jobs = min(jobs, len(names))
    # kernels that run side by side share the cores instead of fighting for them
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, os.cpu_count() // jobs)))
    print(f"{len(names)} chapters, {jobs} at a time", flush=True)
    told = costs()
    # a long chapter that starts last would be waited for
    longest_first = sorted(names, key=lambda name: -float(told.get(name, "0").split()[0]))
    if jobs == 1 and remember.FOLDER not in os.environ:
        told = {}
    # processes, not threads: each watches the memory of its own kernel alone
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        everything = {}
        # Ctrl-C reaches this process alone, which ends the others
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        running = {
            pool.submit(execute, name, folder / f"{name}.ipynb", told.get(name), address, themes): name
            for name in longest_first
        }
        signal.signal(signal.SIGINT, before)
        try:
            for i, done in enumerate(as_completed(running), 1):
                took = everything[running[done]] = done.result()
                print(
                    f"[{i}/{len(names)}] {running[done]}: {took['seconds']:.0f} s, {took['gibibytes']:.1f} GiB",
                    flush=True,
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    for kernel in psutil.Process(worker.pid).children(recursive=True):
                        kernel.kill()
                worker.kill()
            raise
    return everything


def costs():
    """What the committed notebooks say that their chapters took: dict name → text, which begins with the seconds."""
    return {name: notebook.metadata["osrlib"]["cost"] for name, notebook in chapters.committed().items()}
