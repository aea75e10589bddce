"""Where the figures of the book come from: ``python -m experiments.NAME`` from the repository root."""
