"""The pages of the site that are written from code and from results when it is built, into folders that git ignores."""

import os
import re
from pathlib import Path

from recredit.runs.local import local_executor
from recredit.studies.audits import Asked, audits
from recredit.studies.explained import names
from writing.gallery import gallery
from writing.table_1 import table_1

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent
REPRODUCED = {"fig1": "reproduce", **{name: f"reproduce/{name}" for name in ("fair-fig1", "alignment", "networks", "rules")}}
"""Pages of results, by the name of their copy in the site, and their folders."""


def write() -> None:
    """Write every generated page."""
    for name, folder in REPRODUCED.items():
        page = DOCS / "reproduced" / f"{name}.md"
        write_page(page, moved((ROOT / folder / "README.md").read_text("utf-8"), ROOT / folder, page.parent))
    with local_executor("recredit.studies.audits") as pool:
        found, _ = audits([Asked(name, {}, {}, name) for name in names("rule")], True, pool, lambda name: None)
    audited = {each.rule: each for each in found}
    for name, text in {**gallery(audited), "table_1": table_1(audited)}.items():
        write_page(DOCS / "gallery" / f"{name}.md", text)


def moved(text: str, source: Path, target: Path) -> str:
    """A page's text, with its relative links as they are from another folder, and those to pages of results to their copies."""
    copies = {
        (ROOT / folder / "README.md").resolve(): DOCS / "reproduced" / f"{name}.md" for name, folder in REPRODUCED.items()
    }

    def link(found: re.Match) -> str:
        file = (source / found[1]).resolve()
        is_same = source == target and file not in copies
        return found[0] if is_same else f"]({os.path.relpath(copies.get(file, file), target)}"

    return re.sub(r"\]\((?!https?:|#)([^)#]+)", link, text)


def write_page(page: Path, text: str) -> None:
    """Write a page unless it is there already, so that Sphinx reads again only what has changed."""
    page.parent.mkdir(parents=True, exist_ok=True)
    if not page.exists() or page.read_text("utf-8") != text:
        page.write_text(text, "utf-8")
