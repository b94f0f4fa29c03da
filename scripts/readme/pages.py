"""Photograph the README's two pages, trace.html and report.html, as the commands write them. Needs playwright and a Chromium on the PATH.

python scripts/readme/pages.py [-o scripts/readme] [-m MODEL]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
TRACE = ("generate", "a red car", "-s", "1", "--trace", ".")
COMPARISON = ("compare-schedulers", "a dog", "a red car", "a rocket", "--seeds", "2", "-s", "0", "--steps", "5,10,20")
SCHEDULERS = "ddim,unipc,euler,dpm++2m-karras"


def photograph(browser: Browser, page_file: Path, target: Path, *, width: int, height: int, ready: str = "body") -> None:
    """The top of a page, once there is something that the selector `ready` fits. Sizes in pixels."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(page_file.as_uri())
    page.wait_for_selector(ready, timeout=30_000)
    page.screenshot(path=target)
    page.close()
    print(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("-m", "--model", default="bundled")
    args = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        parser.error(f"none of {', '.join(CHROMIUM)} is on the PATH.")
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        folder, ldm = Path(work), [sys.executable, "-m", "ldmcli"]
        subprocess.run([*ldm, *TRACE, "-m", args.model, "-o", "car.png"], check=True, cwd=folder)
        subprocess.run([*ldm, *COMPARISON, "--schedulers", SCHEDULERS, "-m", args.model, "-o", "cmp"], check=True, cwd=folder)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(SWITCHES))
        photograph(browser, folder / "trace.html", args.output / "trace.png", width=786, height=1120, ready="body[data-ready=yes]")
        photograph(browser, folder / "cmp/report.html", args.output / "compare-schedulers.png", width=739, height=848)
        browser.close()


if __name__ == "__main__":
    main()
