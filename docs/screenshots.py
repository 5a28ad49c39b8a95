"""Take the pictures of the report that the pages show: `make screenshots`, which needs Chromium."""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
FIG1 = DOCS.parent / "reproduce" / "fig1-written"
QUIET = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync --no-first-run"


def main() -> None:
    """Write report-WIDTH-SCHEME.png, report-evidence.png and audit.png."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        subprocess.run([sys.executable, "-m", "recredit", "report", FIG1, "--out", file], check=True)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET.split())
        for width, height in ((1440, 1000), (390, 844)):
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.goto(file.as_uri())
                page.wait_for_selector("body[data-drawn]")
                page.screenshot(path=DOCS / f"report-{width}-{scheme}.png")
                if (width, scheme) == (1440, "light"):
                    page.get_by_role("link", name="DNI, ii-stored: fails").click()
                    page.locator("#audit").scroll_into_view_if_needed()
                    page.screenshot(path=DOCS / "report-evidence.png")
                page.close()
        page = browser.new_page(viewport={"width": 620, "height": 900}, device_scale_factor=2)
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-drawn]")
        page.locator(".matrix table").screenshot(path=DOCS / "audit.png")
        browser.close()


if __name__ == "__main__":
    main()
