"""Docstrings and tables as Markdown."""

import re
from collections.abc import Sequence
from itertools import groupby

NUMBERED = re.compile(r"^(.*?)\s{2,}(\(\w+\))$")  # an equation, and its number at the right


def prose(text: str) -> str:
    """A docstring: its words, and its equations, which are indented, as blocks of code."""
    parts = []
    for is_code, lines in groupby(text.splitlines(), key=lambda line: line.startswith("    ")):
        block = [*lines]
        parts += ["", "```text", *aligned(block), "```", ""] if is_code else map(escaped, block)
    return "\n".join(parts)


def aligned(lines: Sequence[str]) -> list[str]:
    """Equations without their indentation, their numbers in one column, not far to the right."""
    found = [NUMBERED.match(line[4:]) for line in lines]
    bodies = [match[1] if match else line[4:] for match, line in zip(found, lines)]
    column = max((len(body) for body, match in zip(bodies, found) if match), default=0) + 3
    return [f"{body:{column}}{match[2]}" if match else body for body, match in zip(bodies, found)]


def escaped(line: str) -> str:
    """Words, of which Markdown is to take nothing but `code` for markup."""
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]|\\$~])", r"\\\1", part) for part in parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(
        f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in [head, ["---"] * len(head), *rows]
    )


def code(text: str) -> str:
    """A word of a program."""
    return f"`{text}`"


def toctree(pages: Sequence[str]) -> str:
    """The pages that come below this one, in the menu."""
    return "\n".join(["```{toctree}", ":hidden:", "", *pages, "```"])
