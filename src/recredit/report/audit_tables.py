"""Audits as text: for a terminal, as JSON, Markdown and LaTeX. The HTML page: templates.py."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from recredit import __version__
from recredit.audit.paper import Comparison, compare
from recredit.audit.verdicts import CRITERIA, NOT_COUNTED, Audit
from recredit.report.fitting import fitted
from recredit.studies.repair import Repair

MARKS = {"pass": "✓", "fail": "✗", "judgement": "?", "n/a": "–"}
MEANINGS = {"pass": "passes", "fail": "fails", "judgement": "to be judged", "n/a": "does not apply"}
TITLE = "What each learning rule asks of a neural circuit"
PAPER = "Marschall, Cho & Savin 2019"
_STYLES = {"pass": "green", "fail": "bold red", "judgement": "yellow", "n/a": "dim"}


def shown_file(file: str) -> str:
    """A file's path from the current folder if it lies there, else only its name."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def differences(audit: Audit) -> dict[str, Comparison]:
    """The criteria on which the paper says otherwise."""
    return {each.said.criterion: each for each in compare(audit) if not each.agrees}


def difference_text(each: Comparison) -> str:
    """One difference in words."""
    return f"the paper {_says(each)}, the audit says {each.found}. {each.reason}"


def paper_text(each: Comparison) -> str:
    """What the paper says, next to the reason that the audit gives in any case."""
    note = f" {each.said.note}" if each.said.note and not each.agrees else ""
    return f"The paper {_says(each)}: “{each.said.quotation}” ({each.said.place}).{note}"


def _says(each: Comparison) -> str:
    return f"{'says' if each.said.stated == 'explicit' else 'implies'} {each.said.verdict}"


def networks(audits: Sequence[Audit]) -> list[str]:
    """A line for each network that rules were audited on."""
    return [f"Network: {network}." for network in dict.fromkeys(audit.network for audit in audits)]


def _legend() -> str:
    return "  ".join(f"{mark} {MEANINGS[verdict]}" for verdict, mark in MARKS.items())


def _mark(verdict: Any, star: str = "") -> Text:
    return Text(MARKS[verdict] + star, _STYLES[verdict])


def _wrapped(text: str, width: int, indent: int = 0) -> Text:
    space = " " * indent
    lines = textwrap.wrap(text, max(20, width - indent), break_long_words=False, break_on_hyphens=False)
    return Text("\n".join(space + line for line in lines))


def table(audits: Sequence[Audit], width: int) -> Group:
    """Rule × criterion, and below it where the paper says otherwise; for a single rule, everything that was found."""
    grid = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, title=TITLE, title_justify="left")
    grid.add_column("rule", overflow="fold")
    for criterion in CRITERIA:
        grid.add_column(criterion.replace("-", "\n").replace("continuous", "contin-\nuous"), justify="center", no_wrap=True)
    lines: list[Any] = []
    for audit in audits:
        differing = differences(audit)
        grid.add_row(Text(audit.rule), *(_mark(cell.verdict, "*" * (name in differing)) for name, cell in audit.cells.items()))
        lines += [_wrapped(f"* {audit.rule}, {name}: {difference_text(each)}", width) for name, each in differing.items()]
    legend = Text(_legend() + "  * differs from the paper" * bool(lines), "dim")
    head = [fitted(grid, width), legend, *(_wrapped(told, width) for told in networks(audits)), Text()]
    return Group(*head, *(_findings(audits[0], width) if len(audits) == 1 else lines))


def _findings(audit: Audit, width: int) -> list[Text]:
    """The verdicts of one rule with their evidence, what the paper says, and what the rule costs."""
    said = {each.said.criterion: each for each in compare(audit)}
    first: dict[Any, str] = {}  # for each explanation, the criterion under which it is given in full
    lines = []
    for criterion, cell in audit.cells.items():
        lines.append(Text.assemble(_mark(cell.verdict), " ", (criterion, "bold"), f": {CRITERIA[criterion]}"))
        full = not cell.evidence or first.setdefault((cell.why, cell.evidence), criterion) == criterion
        lines.append(_wrapped(cell.why if full else f"See {first[cell.why, cell.evidence]}.", width, 4))
        for evidence in cell.evidence if full else ():
            lines.append(Text.assemble("    ", (evidence.operation, "cyan")))
            lines.append(Text(f"      {shown_file(evidence.file)}:{evidence.line}", "dim"))
            if evidence.sentence != cell.why:
                lines.append(_wrapped(evidence.sentence, width, 6))
        if criterion in said:
            star = "" if said[criterion].agrees else "* "
            lines.append(_wrapped(star + paper_text(said[criterion]), width, 4))
    lines.append(Text())
    lines += [_wrapped(f"{what}: {value}", width) for what, value in facts(audit).items()]
    return lines + [_wrapped(note, width) for note in audit.notes]


def facts(audit: Audit) -> dict[str, str]:
    """What the rule keeps, costs and reads."""
    state = ", ".join(f"{leaf.name} ({', '.join(leaf.shape)})" for leaf in audit.state)
    unknown = "unknown" if audit.memory == NOT_COUNTED else None
    return {
        "Learning state": state or unknown or "none",
        "Numbers kept": audit.memory,
        "Multiplications per step": audit.multiplications,
        "Reads": ", ".join(audit.reads) or unknown or "nothing",
        "File": shown_file(audit.file),
    }


def explain(audit: Audit, width: int) -> Group:
    """Every operation in the order of the program, with the criteria that it fails or leaves to judgement."""
    heads = ("", "operation", "what it is", "line")
    grid = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False, title=Text(f"The program of {audit.rule}"), title_justify="left")
    for each in audit.operations:
        marks = [_mark("fail", f" {criterion}") for criterion in each.fails]
        marks += [_mark("judgement", f" {criterion}") for criterion in each.weighs]
        grid.add_row(Text("\n").join(marks), Text(each.text), Text(each.kind), Text(f"{Path(each.file).name}:{each.line}"))
    for column in grid.columns:
        column.overflow = "fold"
    files = dict.fromkeys(shown_file(each.file) for each in audit.operations)
    return Group(fitted(grid, width), Text("✗ fails  ? to be judged  no mark: no criterion objects", "dim"), *map(Text, files))


def as_json(audits: Sequence[Audit]) -> str:
    """Everything that the audits found, with the paper's verdicts."""
    told = {
        "made_with": f"recredit {__version__}",
        "criteria": CRITERIA,
        "audits": [_told(audit) | {"paper": [asdict(each) for each in compare(audit)]} for audit in audits],
    }
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)


def _told(audit: Audit) -> dict[str, Any]:
    return asdict(audit, dict_factory=lambda pairs: {k: shown_file(v) if k == "file" else v for k, v in pairs})


def _grid(audits: Sequence[Audit], marks: dict[str, str], star: str) -> list[list[str]]:
    rows = []
    for audit in audits:
        starred = differences(audit)
        rows.append([marks[audit.verdict(criterion)] + star * (criterion in starred) for criterion in CRITERIA])
    return rows


def _markdown(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\`*_[]<>|~" else character for character in text)


def as_markdown(audits: Sequence[Audit]) -> str:
    """The table, its legend, and each difference from the paper."""
    lines = [f"| rule | {' | '.join(CRITERIA)} |", "|---|" + ":-:|" * len(CRITERIA)]
    for audit, row in zip(audits, _grid(audits, MARKS, "\\*")):
        lines.append(f"| {_markdown(audit.rule)} | {' | '.join(row)} |")
    lines += ["", _legend().replace("  ", ", ") + f"; \\* differs from {PAPER}.", "", *map(_markdown, networks(audits)), ""]
    lines += [f"- {criterion}: {_markdown(question)}" for criterion, question in CRITERIA.items()]
    found = [
        f"- \\* {_markdown(f'{audit.rule}, {criterion}: {difference_text(each)}')}"
        for audit in audits
        for criterion, each in differences(audit).items()
    ]
    return "\n".join([*lines, "", *found]).rstrip()


_LATEX = {character: f"\\{character}" for character in "{}$&#_%"}
_LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", '"': "''"}
_LATEX |= {"<": "$<$", ">": "$>$", "|": "$|$", "²": "$^2$", "–": "--"}
_LATEX_MARKS = {"pass": r"$\surd$", "fail": r"$\times$", "judgement": "?", "n/a": "--"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def as_latex(audits: Sequence[Audit]) -> str:
    """A table environment that needs no package: the marks, and a legend of marks and criteria as its caption."""
    names = (criterion.replace("-", r"\\").replace("continuous", r"contin-\\uous") for criterion in CRITERIA)
    heads = [rf"\shortstack{{{name}}}" for name in names]
    rows = [
        rf"\texttt{{{_latex(audit.rule)}}} & {' & '.join(row)} \\"
        for audit, row in zip(audits, _grid(audits, _LATEX_MARKS, "$^*$"))
    ]
    marks = ", ".join(f"{_LATEX_MARKS[verdict]} {meaning}" for verdict, meaning in MEANINGS.items())
    told = "".join(f"{_latex(network)} " for network in networks(audits))
    questions = " ".join(rf"\emph{{{criterion}}}: {_latex(question)}" for criterion, question in CRITERIA.items())
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{l{'c' * len(CRITERIA)}}}",
            r"\hline",
            rf"rule & {' & '.join(heads)} \\",
            r"\hline",
            *rows,
            r"\hline",
            r"\end{tabular}",
            rf"\caption{{{TITLE}: {marks}; $^*$ {_latex(f'differs from {PAPER}')}. {told}{questions}}}",
            r"\label{tab:audit}",
            r"\end{table}",
        ]
    )


def repair_text(found: Repair, width: int) -> str:
    """What would repair a rule, in words; what remains, with the line that decides it."""
    if not found.own.remains:
        return f"{found.rule} passes every criterion as it is."
    fails = ", ".join(found.own.fails)
    now = f"{found.rule} fails {fails}" if fails else f"{found.rule} leaves {', '.join(found.own.judgements)} to be judged"
    if not found.nearest[0].remains:
        return textwrap.fill(f"{now}. It passes with {' '.join(found.nearest[0].changes)}.", width)
    more = f"None of its {found.tried} combinations passes everything" if found.tried > 1 else "It has no alternatives"
    lines = [f"{now}. {more}; the nearest:"]
    for attempt in found.nearest:
        lines.append(f"  {' '.join(attempt.changes) or 'as it is'}:")
        for cell in attempt.remains:
            at = f" ({Path(cell.evidence[0].file).name}:{cell.evidence[0].line})" if cell.evidence else ""
            lines.append(f"    {MARKS[cell.verdict]} {cell.criterion}: {cell.why}{at}")
    indents = [" " * (len(line) - len(line.lstrip()) + 4) for line in lines]
    return "\n".join(textwrap.fill(line, width, subsequent_indent=more) for line, more in zip(lines, indents, strict=True))
