"""The built page, and a browser that looks at it.

Elsewhere than in CI either may be missing: then a test is skipped, with a word on how to get it.
"""

import contextlib
import functools
import http.server
import threading

import pytest

from tests.conftest import need
from tools import paths, printed
from tools.chapters import BuildError

SHOTS = paths.BUILD / "screenshots"
"""Where what the browser showed is kept."""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 740}


@pytest.fixture(scope="session")
def html():
    """The folder of the built page."""
    need((paths.HTML / "index.html").exists(), "there is no built page: run make book")
    return paths.HTML


@pytest.fixture(scope="session")
def site(html):
    """The address at which the built page is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Chromium or Chrome, without a window."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as open_things:
        try:
            opened = open_things.enter_context(printed.browser())
        except BuildError as error:
            need(False, str(error))
        yield opened


@pytest.fixture
def page(browser, site):
    """A page that notes console errors, requests to elsewhere and missing files: ``page.faults``."""
    opened = browser.new_page(viewport=WIDE, reduced_motion="reduce")
    opened.faults = []
    opened.on("console", lambda said: said.type == "error" and opened.faults.append(said.text))
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("response", lambda answer: answer.status >= 400 and opened.faults.append(f"{answer.status} {answer.url}"))
    opened.on("requestfailed", lambda request: opened.faults.append(f"failed: {request.url}"))
    here = (site, "file:", "data:", "blob:")
    opened.on("request", lambda request: request.url.startswith(here) or opened.faults.append(request.url))
    yield opened
    assert not opened.faults
    opened.close()
