"""The documentation as `make docs` has built it, in a real browser: everybody can use it, and it asks for nothing elsewhere."""

from pathlib import Path

import pytest
from browser import chromium as chromium
from browser import needs_chromium, serious

SITE = Path(__file__).parent.parent / "docs" / "_build" / "html"
PAGES = ["index", "gallery/rules/dni", "gallery/table_1", "errata", "report", "tutorials/fig1"]
pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="make docs has not built the site"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody_and_needs_no_network(chromium, name, scheme):
    page = chromium.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((SITE / f"{name}.html").as_uri())
    assert page.locator("h1").count() == 1
    assert [each for each in asked if not each.startswith(("file:", "data:"))] == []
    assert said == []
    assert serious(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
