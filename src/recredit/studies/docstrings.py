"""What docstrings in the source say: of a module, of a class, and of each field by the docstring under it."""

import ast
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ENTRY = re.compile(r"^@\w+\{.*?\}$(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
SOURCE = re.compile(r"\bSource: (.*?)(?=\n\n|\Z)", re.DOTALL)
NAMED = re.compile(r"`(\w+)`: ")


def source_file(make_it: Callable[..., Any]) -> Path:
    """The file of a class or function, or of what it wraps."""
    return Path(inspect.getsourcefile(inspect.unwrap(make_it)) or "")


def of_module(make_it: Callable[..., Any]) -> str:
    """The docstring of the module that defines a class or function."""
    return (ast.get_docstring(_tree(source_file(make_it)), clean=False) or "").strip()


def of_fields(kind: type) -> dict[str, str]:
    """The docstrings under the fields of a class and of those it inherits from, each on one line."""
    told: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        body = _body(base)
        for node, after in itertools.pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                told[ast.unparse(node.target)] = one_line(str(after.value.value))
    return told


def of_parameters(docstring: str) -> dict[str, str]:
    """What a docstring says of parameters, each as "`name`: what it is"."""
    told: dict[str, str] = {}
    for paragraph in docstring.split("\n\n"):
        parts = NAMED.split(one_line(paragraph))[1:]
        told |= {name: text[:1].upper() + text[1:] for name, text in zip(parts[::2], map(str.strip, parts[1::2]))}
    return told


def without_parameters(docstring: str) -> str:
    """A docstring without the paragraphs that `of_parameters` reads."""
    return "\n\n".join(each for each in docstring.split("\n\n") if not NAMED.match(each))


def bibtex(docstring: str) -> tuple[str, ...]:
    """The BibTeX entries in a docstring."""
    return tuple(ENTRY.findall(docstring))


def sources(docstring: str) -> tuple[str, ...]:
    """What follows "Source:" in a docstring, each to the end of its paragraph and on one line."""
    return tuple(map(one_line, SOURCE.findall(docstring)))


def without_references(docstring: str) -> str:
    """A docstring without its BibTeX entries, nor the paragraphs that begin with "Source:"."""
    text = ENTRY.sub("", docstring)
    return "\n\n".join(each.strip("\n") for each in text.split("\n\n") if each.strip() and not each.startswith("Source: "))


def one_line(text: str) -> str:
    """Words with one space between them."""
    return " ".join(text.split())


def google_sections(docstring: str) -> Mapping[str, str]:
    """The sections of a docstring of Google's style, by their titles, and under "" what precedes them."""
    parts = re.split(r"^(Args|Returns|Examples?|References?|Raises|Note)s?:\n", docstring, flags=re.MULTILINE)
    return {"": parts[0].strip("\n"), **{title: inspect.cleandoc(text) for title, text in zip(parts[1::2], parts[2::2])}}


def google_parameters(section: str) -> dict[str, str]:
    """The parameters in a section of Google's style, whose markup is taken away."""
    parts = re.split(r"^(\w+)(?: \([^)]*\))?:", section, flags=re.MULTILINE)[1:]
    return {name: plain(text) for name, text in zip(parts[::2], parts[1::2])}


def plain(text: str) -> str:
    """Text of Sphinx's markup as words on one line."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", text)
    return one_line(re.sub(r"`+([^`]*?)(?:\s*<([^>]*)>)?`+_*", lambda found: " ".join(filter(None, found.groups())), text))


def _tree(file: Path) -> ast.Module:
    return _parsed(file.read_bytes())


_parsed = functools.cache(ast.parse)  # by what a file holds now


def _body(kind: type) -> list[ast.stmt]:
    """The statements in a class's definition; none for a class without a file."""
    try:
        file = source_file(kind)
    except (OSError, TypeError):
        return []
    found = [node for node in ast.walk(_tree(file)) if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    return found[-1].body if found else []
