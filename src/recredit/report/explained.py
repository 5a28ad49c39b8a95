"""Named things explained on a terminal of any width."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from recredit.audit.verdicts import Audit
from recredit.report.audit_tables import MARKS, MEANINGS, shown_file
from recredit.studies.explained import Explained, Setting

NUMBER = re.compile(r" {2,}(\(\d+\w*'?\))$")  # of an equation, at the right edge
READABLE = 100  # columns: longer lines of prose are hard to read
WIDE = 100  # columns from which on settings are a table
LABEL = 12
Groups = Sequence[tuple[str, Sequence[Setting]]]
"""Settings, by the heading under which they stand."""


Part = Text | Table


def listed(title: str, whats: Mapping[str, str], width: int) -> Text:
    """Names with what each is, on one line or more."""
    names, lines = max(map(len, whats)), [Text(title, "bold")]
    for name, what in whats.items():
        first, *more = textwrap.wrap(what, max(20, width - names - 4)) or [""]
        lines.append(Text.assemble("  ", (f"{name:{names}}", "cyan"), "  ", first))
        lines += [Text(" " * (names + 4) + line) for line in more]
    return Text("\n").join(lines)


def page(told: Explained, more: Iterable[Part], blocks: Mapping[str, Explained], prefix: str, width: int) -> Group:
    """Everything about one thing: what it is, its equations, its settings, `more`, its file and its references.

    `blocks`: the building blocks with settings of their own, by "jacobian=learned". `prefix`: what stands before a setting's
    name when it is given, as in rule.window=20.
    """
    head = [Text(told.name, "bold"), Text(wrapped(told.what, width))]
    text = [Text(fitted_lines(each, width)) for each in (told.equations, told.details) if each]
    last = [labelled("File", shown_file(str(told.file)), width)]
    if any(each.startswith("@") for each in told.references):
        last.append(Text("Reference", "bold"))
        last += [Text(wrapped(" ".join(entry.split()), width, more="  ")) for entry in told.references]
    elif told.references:
        last.append(labelled("Source", "; ".join(each.rstrip(".") for each in told.references) + ".", width))
    settings = settings_table(told.settings, blocks, prefix, width)
    return Group(*head, *spaced([*text, settings]), Text(), *more, *last)


def spaced(parts: Iterable[Part]) -> list[Part]:
    """Each part after an empty line."""
    return [each for part in parts for each in (Text(), part)]


def settings_table(settings: Iterable[Setting], blocks: Mapping[str, Explained], prefix: str, width: int) -> Part:
    """Settings with their defaults, what they may be, and what they mean; each on lines of its own if there is little room."""
    groups = [("", [*settings])]
    for given, block in blocks.items():
        key = given.partition("=")[0]
        groups.append((f"with {given}", [replace(each, name=f"{key}.{each.name}") for each in block.settings]))
    if not groups[0][1]:
        return Text("It has no settings.")
    first = groups[0][1][0]
    value = "VALUE" if first.default in ("", "none") else first.default
    title = Text(f"Settings, as in {prefix}.{first.name}={value}", "bold")
    return _table(title, groups) if width >= WIDE else _lines(title, groups, width)


def _table(title: Text, groups: Groups) -> Table:
    table = Table("setting", "default", "allowed", "meaning", box=box.SIMPLE_HEAD, pad_edge=False, title=title)
    table.title_justify = "left"
    for heading, settings in groups:
        if heading:
            table.add_row(Text(heading, "italic"))
        for each in settings:
            table.add_row(Text(each.name, "cyan"), _default(each), Text(each.allowed), Text(each.meaning))
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    return table


def _lines(title: Text, groups: Groups, width: int) -> Text:
    lines = [title]
    for heading, settings in groups:
        lines += [Text(f"  {heading}", "italic")] if heading else []
        for each in settings:
            default = f"default {each.default}" if each.default else "required"
            indent = len(each.name) + 4
            may_be = wrapped(f"{default}; {each.allowed}", width, " " * indent)
            lines.append(Text.assemble("  ", (each.name, "cyan"), may_be[indent - 2 :]))
            lines += [Text(wrapped(each.meaning, width, " " * 6))] if each.meaning else []
    return Text("\n").join(lines)


def _default(setting: Setting) -> str:
    return setting.default or "(required)"


def audit_lines(audit: Audit, spec: str, width: int) -> list[Text]:
    """What a rule keeps and computes, and the verdicts as one line of marks with the criteria's names; `spec`: how the rule is
    named on the command line."""
    marks = "  ".join(f"{MARKS[cell.verdict]}\u00a0{name}" for name, cell in audit.cells.items())
    legend = ", ".join(f"{mark} {MEANINGS[verdict]}" for verdict, mark in MARKS.items())
    return [
        labelled("Memory", f"{audit.memory} numbers" if audit.memory != "0" else "none", width),
        labelled("Time", f"{audit.multiplications} multiplications per step", width),
        labelled("Audit", marks, width),
        labelled("", f"{legend}; the reasons:\u00a0recredit\u00a0audit\u00a0{spec}", width),
    ]


def labelled(label: str, text: str, width: int) -> Text:
    """A label and what it says, indented where it takes several lines."""
    return Text.assemble((f"{label:<{LABEL}}", "bold"), wrapped(text, width, " " * LABEL)[LABEL:])


def wrapped(text: str, width: int, indent: str = "", more: str = "") -> str:
    """A sentence or more, on lines that fit, all of them indented, those after the first by `more` as well."""
    lines = textwrap.wrap(
        text,
        max(20 + len(indent), min(width, READABLE)),
        initial_indent=indent,
        subsequent_indent=indent + more,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\u00a0", " ")


def fitted_lines(text: str, width: int) -> str:
    """A docstring whose lines fit: prose is wrapped anew, equations are kept, their numbers moved nearer to them."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.split("\n")
        if any(line.startswith(" ") for line in lines):
            paragraphs.append("\n".join(_equation(line, width) for line in lines))
        else:
            paragraphs.append(wrapped(" ".join(lines), width))
    return "\n\n".join(paragraphs)


def _equation(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    body, number = line, ""
    if found := NUMBER.search(line):
        body, number = line[: found.start()], found[1]
    if len(body) + len(number) < width:
        return f"{body}{number:>{width - len(body)}}"
    indent = " " * (len(line) - len(line.lstrip()))
    return wrapped(" ".join([body.strip(), number]), width, indent, "    ")
