"""osrlib: the thin library under *Knowing what you don't know*, a book on open-set recognition.

One idea a module, each short enough to read in one sitting:

``data``        the worlds: digits, and what is not a digit
``output``      what a network says of many images
``models``      the baseline CNN, the multi-task autoencoder, C2AE
``gram``        Gram features of a network, and how far they lie outside of what is known
``losses``      what the models are trained to make small
``augment``     digits that are warped, and turned, for training
``training``    the loop, and its recipes
``zoo``         the reference weights, and how they were made
``scores``      how unknown an image looks: larger = more unknown, always
``thresholds``  where to draw the line
``detector``    model + scores + thresholds = a classifier that can say "unknown"
``saving``      a detector in one file
``promise``     what a line promises, and an alarm for when it no longer holds
``metrics``     how to keep score
``protocol``    six digits known, four unknown: how the field compares
``sweep``       many runs of one function, kept as they come
``plots``       the figures that two chapters share
``pictures``    your own images, brought into MNIST's format
``cleaning``    what was drawn on a page, apart from the page
``bulk``        many pictures into one table: ``python -m osrlib decide``
``teaching``    claims that the book checks, and exercises that grade themselves

Images enter every public function as uint8 ``[N, 28, 28]``.
"""

import importlib
import pkgutil

__version__ = "0.2.0"

UNKNOWN = 10
"""The eleventh class of the digits: "I have never seen this"."""


def __getattr__(name):
    """``import osrlib; osrlib.data`` works, and nothing is imported before it is asked for."""
    if name in {module.name for module in pkgutil.iter_modules(__path__)}:
        return importlib.import_module(f"osrlib.{name}")
    raise AttributeError(f"module 'osrlib' has no attribute {name!r}")


def __dir__():
    return [*globals(), *(module.name for module in pkgutil.iter_modules(__path__))]
