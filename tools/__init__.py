"""The machinery of the book: ``python -m tools.NAME`` from the repository root."""
