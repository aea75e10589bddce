"""osrlib: the thin library under *Knowing what you don't know*, a book on open-set recognition.

One idea a module, each short enough to read in one sitting:

``data``        the worlds: digits, and what is not a digit
``models``      the baseline CNN and the multi-task autoencoder
``losses``      what the models are trained to make small
``training``    the loop, and its recipes
``zoo``         the reference weights, and how they were made
``scores``      how unknown an image looks: larger = more unknown, always
``thresholds``  where to draw the line
``detector``    model + scores + thresholds = a classifier that can say "unknown"
``metrics``     how to keep score
``plots``       the figures that two chapters share
``claims``      what the book says, checked against what was measured
``exercises``   grades what a reader hands in

Images enter every public function as uint8 ``[N, 28, 28]``.
"""

__version__ = "0.1.0"

UNKNOWN = 10
"""The eleventh class: "I have never seen this"."""
