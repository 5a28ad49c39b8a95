"""Audits as one HTML page that needs no other file."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from recredit import __version__
from recredit.audit.paper import Comparison, compare
from recredit.audit.verdicts import CRITERIA, Audit, Cell, Operation
from recredit.report.audit_tables import MARKS, MEANINGS, PAPER, TITLE, differences, facts, networks, paper_text, shown_file

_STYLE = """
:root { --ink: #1d1f23; --soft: #62666e; --line: #d9dce1; --back: #fff; --card: #f6f7f9;
  --pass: #17703a; --fail: #b3261e; --judgement: #8a5a00; --na: #8b8f97; --differs: #fff1c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --soft: #a0a5ae; --line: #3a3e46; --back: #17191d;
  --card: #1f2228; --pass: #66c48a; --fail: #ff8a80; --judgement: #e9b949; --na: #7d828b; --differs: #4a3d14; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--back);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.2rem; margin: 3rem 0 .5rem } h3 { font-size: 1rem; margin: 0 }
a { color: inherit; text-decoration-color: var(--line) } code { font: .88em/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
table { border-collapse: collapse } th { text-align: left; font-weight: 600 }
.matrix { overflow-x: auto } .matrix td { text-align: center; border-top: 1px solid var(--line); width: 3.2rem; padding: 0 }
.matrix thead th { vertical-align: bottom; font-size: .85rem; padding: 0 0 .4rem; text-align: center }
.matrix thead th:first-child { text-align: left } .matrix thead span { writing-mode: vertical-rl; transform: rotate(180deg) }
.matrix tbody th { border-top: 1px solid var(--line); padding: .15rem .8rem .15rem 0; min-width: 6rem }
.matrix td a { display: block; text-decoration: none; padding: .15rem 0 }
.pass { color: var(--pass) } .fail { color: var(--fail); font-weight: 700 } .judgement { color: var(--judgement) }
.na { color: var(--na) } .differs { background: var(--differs) }
h3 .soft { font-weight: 400 }
.soft, dt { color: var(--soft) } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0 }
dd { margin: 0 } article { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem; margin: .6rem 0 }
article p { margin: .2rem 0 } article:target { outline: 2px solid var(--judgement) }
.evidence { background: var(--card); border-radius: .3rem; padding: .3rem .6rem; margin: .4rem 0 }
.evidence .soft { display: block; font-size: .85rem }
.paper { margin-top: .4rem; padding: .2rem .6rem; border-left: 3px solid var(--line) }
details { margin: .8rem 0 } summary { cursor: pointer } details ol { padding-left: 2.2rem } details li { margin: .3rem 0 }
@media (max-width: 36rem) { body { padding: 1rem .75rem 3rem; font-size: 15px } .matrix td { width: 1.55rem }
  .matrix tbody th { min-width: 0; padding-right: .4rem; font-size: .85rem }
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .4rem } }
"""


def _mark(verdict: str) -> str:
    return f'<span class="{verdict.replace("/", "")}" title="{MEANINGS[verdict]}">{MARKS[verdict]}</span>'


def _place(file: str, line: int) -> str:
    return f'<span class="soft">{escape(shown_file(file))}:{line}</span>'


def _paper(each: Comparison) -> str:
    differs = "" if each.agrees else " differs"
    return f'<p class="paper{differs}">{escape(paper_text(each))}</p>'


def _cell(anchor: str, cell: Cell, said: Iterable[Comparison]) -> str:
    evidence = "".join(
        f'<div class="evidence"><code>{escape(each.operation)}</code> {_place(each.file, each.line)}'
        f"{f'<p>{escape(each.sentence)}</p>' if each.sentence != cell.why else ''}</div>"
        for each in cell.evidence
    )
    return (
        f'<article id="{anchor}-{cell.criterion}"><h3>{_mark(cell.verdict)} {cell.criterion} '
        f'<span class="soft">{escape(CRITERIA[cell.criterion])}</span></h3><p>{escape(cell.why)}</p>{evidence}'
        f"{''.join(_paper(each) for each in said if each.said.criterion == cell.criterion)}</article>"
    )


def _operation(each: Operation) -> str:
    marks = [f"{_mark('fail')} {criterion}" for criterion in each.fails]
    marks += [f"{_mark('judgement')} {criterion}" for criterion in each.weighs]
    place = f'<span class="soft">{escape(each.kind)}, {escape(Path(each.file).name)}:{each.line}</span>'
    return f"<li><code>{escape(each.text)}</code> {place} {' '.join(marks)}</li>"


def _section(anchor: str, audit: Audit) -> str:
    told = "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in facts(audit).items())
    notes = "".join(f"<p>{escape(note)}</p>" for note in audit.notes)
    said = compare(audit)
    return (
        f'<section><h2 id="{anchor}">{escape(audit.rule)}</h2><dl>{told}</dl>{notes}'
        f"{''.join(_cell(anchor, cell, said) for cell in audit.cells.values())}"
        f"<details><summary>All {len(audit.operations)} operations, in the order of the program</summary>"
        f"<ol>{''.join(map(_operation, audit.operations))}</ol></details></section>"
    )


def _row(anchor: str, audit: Audit) -> str:
    differing = differences(audit)
    cells = "".join(
        f'<td class="{"differs" * (criterion in differing)}"><a href="#{anchor}-{criterion}">{_mark(cell.verdict)}</a></td>'
        for criterion, cell in audit.cells.items()
    )
    return f'<tr><th><a href="#{anchor}">{escape(audit.rule)}</a></th>{cells}</tr>'


def as_html(audits: Sequence[Audit]) -> str:
    """The table, the criteria, and each rule's verdicts with their evidence, the paper's beside them, and its operations."""
    anchored = {f"rule-{number}": audit for number, audit in enumerate(audits, 1)}
    told = escape(" ".join(networks(audits)))
    heads = "".join(f"<th><span>{criterion}</span></th>" for criterion in CRITERIA)
    rows = "".join(_row(anchor, audit) for anchor, audit in anchored.items())
    marks = ", ".join(f"{_mark(verdict)} {meaning}" for verdict, meaning in MEANINGS.items())
    criteria = "".join(f"<dt>{criterion}</dt><dd>{escape(question)}</dd>" for criterion, question in CRITERIA.items())
    sections = "\n".join(_section(anchor, audit) for anchor, audit in anchored.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{TITLE}</h1>
<p>Read off the rules' own programs by recredit {__version__}. A mark leads to its evidence. {told}</p>
<div class="matrix"><table><thead><tr><th>rule</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
<p>{marks}; <span class="differs">shaded</span>: differs from {escape(PAPER)}.</p>
<h2>The criteria</h2>
<dl>{criteria}</dl>
<p class="soft">memory to vi: {escape(PAPER)}; vii: ours.</p>
{sections}
</body>
</html>"""
