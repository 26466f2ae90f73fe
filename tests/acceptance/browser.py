"""A real Chromium, Debian's, for tests that look at the page; without one they are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# In a container there is no sandbox to be had, and no GPU: surfaces are drawn by the processor.
OPTIONS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@contextmanager
def open_browser() -> Iterator[Any]:
    """A browser that is closed again. Skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    driver = pytest.importorskip("playwright.sync_api")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page that is open: what it complained of, what it asked the network for."""

    def __init__(self, browser: Any, file: Path, hash: str = "", **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri() + hash)
        self.page.wait_for_function("document.documentElement.dataset.state === 'ready'", timeout=60_000)

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def see(self, panel: str) -> None:
        """Scroll a panel's every picture into view, one after another, until each is drawn."""
        for plot in self.page.query_selector_all(f"#{panel} .plot"):
            plot.scroll_into_view_if_needed()
            self.page.wait_for_function("e => e.classList.contains('js-plotly-plot')", arg=plot)

    def drawn(self, panel: str, index: int = 0) -> list[dict[str, Any]]:
        """What plotly has of a picture: its traces, full."""
        script = "([p, i]) => document.querySelectorAll(`#${p} .plot`)[i].data.map(t => ({...t}))"
        found: list[dict[str, Any]] = self.run(script, [panel, index])
        return found

    def close(self) -> None:
        self.context.close()
