"""The library as a package: what importing it brings along, how long that takes, how few steps an image takes."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import osrlib
from osrlib import data
from osrlib.detector import OpenSetClassifier

MODULES = [module.name for module in pkgutil.walk_packages(osrlib.__path__, "osrlib.")]
HEAVY = ("IPython", "matplotlib", "pandas", "scipy.stats", "sklearn", "skimage", "torchvision")
FIGURES = ("osrlib.plots", "osrlib.pictures", "osrlib.cleaning", "osrlib.sweep", "osrlib.bulk", "osrlib.__main__")
"""Who asks for one of these wants what it brings along."""


def python(code):
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_nothing_heavy_is_imported_before_it_is_needed():
    """Beside torch, these take longer to import than all of osrlib: half a second and more."""
    light = [name for name in MODULES if name not in FIGURES]
    assert len(light) > 20
    assert not set(HEAVY) & set(python(f"import sys, {', '.join(light)}; print(*sys.modules)").split())


def test_the_library_is_imported_in_half_a_second_beyond_torch():
    code = "import time, torch; start = time.perf_counter(); import osrlib.detector; print(time.perf_counter() - start)"
    took = min(float(python(code)) for _ in range(2))
    assert took < 0.5, f"it took {took:.1f} s; if other programs were busy, try again without them"


def test_modules_are_there_when_they_are_asked_for():
    told = python("import sys, osrlib; print('torch' in sys.modules, 'data' in dir(osrlib), osrlib.data.__name__)")
    assert told.split() == ["False", "True", "osrlib.data"]
    assert osrlib.teaching.claims.__name__ == "osrlib.teaching.claims" and not hasattr(osrlib, "nonsense")


@pytest.fixture(scope="module")
def detectors(mtae, training_digits):
    """The recommended detector and the report's, fitted."""
    recommended = OpenSetClassifier.recommended(mtae, training_digits[:2000], training_digits[2000:2500])
    return {
        "recommended": recommended.fit(training_digits[2500:].images),
        "report": OpenSetClassifier.report(mtae).fit(training_digits[2000:].images),
    }


@pytest.mark.parametrize("name", ["recommended", "report"])
def test_an_image_takes_few_steps_through_the_library(name, detectors, capsys, monkeypatch):
    """From a world in the cache to a decision: whoever follows the code in a debugger sees so many calls."""
    monkeypatch.delenv("OSRLIB_REMEMBER", raising=False)  # a folder that only the book's building has
    folder, calls = str(Path(osrlib.__file__).parent), []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            calls.append(f"{Path(frame.f_code.co_filename).relative_to(folder)}:{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        detectors[name].decide(data.load("mnist").images[:1])
    finally:
        sys.setprofile(None)
    with capsys.disabled():
        print(f"\n{name}: {len(calls)} calls into osrlib for one image")
    assert len(calls) <= 40, "\n".join(calls)
