"""The library as a package: what importing it brings along."""

import subprocess
import sys

LIGHT = ("claims", "data", "detector", "exercises", "fused", "losses", "metrics", "models", "protocol", "remember",
         "scores", "thresholds", "training", "zoo")  # fmt: skip
HEAVY = ("IPython", "matplotlib", "pandas", "scipy.stats", "sklearn", "skimage", "torchvision")


def test_nothing_heavy_is_imported_before_it_is_needed():
    """Beside torch, these take longer to import than all of osrlib: half a second and more."""
    code = f"import sys, {', '.join(f'osrlib.{name}' for name in LIGHT)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(HEAVY) & set(run.stdout.split())
