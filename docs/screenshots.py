"""Take the screenshots of docs/page.md anew: `make screenshots`, after `make demo`."""

import sys
from pathlib import Path
from shutil import which

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
# A panel, its colour scheme, its width.
TAKEN = (("answer", "light", 1000), ("pairs", "light", 1000), ("all_cells", "dark", 1000))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(page: Path) -> None:
    """Take each panel, as it is seen when it has been scrolled to."""
    with sync_playwright() as playwright:
        found = next(filter(None, map(which, BROWSERS)))
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for panel, scheme, width in TAKEN:
            context = browser.new_context(viewport={"width": width, "height": 640}, color_scheme=scheme)
            tab = context.new_page()
            tab.goto(page.resolve().as_uri())
            tab.wait_for_function("document.documentElement.dataset.state === 'ready'")
            tab.evaluate("name => document.getElementById(name).scrollIntoView({behavior: 'instant'})", panel)
            tab.wait_for_timeout(1500)
            tab.screenshot(path=HERE / "pictures" / f"page-{panel}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/lenet-digits/report/report.html"))
