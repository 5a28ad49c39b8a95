"""The pages' templates, in `assets`, and the page of an audit alone, which needs no other file."""

import functools
import linecache
import textwrap
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from recredit import __version__
from recredit.audit.paper import compare
from recredit.audit.verdicts import CRITERIA, Audit
from recredit.report.audit_tables import MARKS, MEANINGS, PAPER, TITLE, differences, facts, networks, paper_text, shown_file
from recredit.runs.final_loss import DIVERGED_MEANS

ASSETS = Path(__file__).parent / "assets"
AROUND = 3  # lines of source above and below one that decides


@functools.cache
def _asset(name: str) -> Markup:
    return Markup((ASSETS / name).read_text("utf-8"))


@functools.cache
def _vega() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script, which defines vegaEmbed."""
    import vl_convert  # here, since only the report needs it

    script = vl_convert.javascript_bundle("globalThis.vegaEmbed = vegaEmbed;")
    return Markup(script.replace("</script", r"<\/script"))


def _around(file: str, line: int) -> list[tuple[int, str]]:
    """The lines of source around one, with their numbers; none if the file cannot be read."""
    first = max(1, line - AROUND)
    lines = linecache.getlines(file)[first - 1 : line + AROUND]
    return list(enumerate(textwrap.dedent("".join(lines)).splitlines(), first))


templates = jinja2.Environment(loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined)
templates.globals |= {
    "version": __version__,
    "asset": _asset,
    "vega": _vega,
    "around": _around,
    "criteria": CRITERIA,
    "marks": MARKS,
    "meanings": MEANINGS,
    "what": TITLE,
    "paper": PAPER,
    "diverged_means": DIVERGED_MEANS,
    "compare": compare,
    "differences": differences,
    "facts": facts,
    "networks": networks,
    "paper_text": paper_text,
    "shown_file": shown_file,
}


def audit_page(audits: Sequence[Audit]) -> str:
    """The table of verdicts, and each rule's with their evidence, the paper's beside them, and its operations, as HTML."""
    return templates.get_template("audit_page.html").render(title=TITLE, audits=audits)
