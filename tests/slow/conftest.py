"""Slow tests look at the built page too."""

from tests.book.conftest import browser, html, page, site  # noqa: F401 pytest finds them here
