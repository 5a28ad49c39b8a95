"""No verdict comes from a name: every class, function, field, variable and module of a rule renamed."""

import ast
import inspect
import io
import itertools
import tokenize
from pathlib import Path

import pytest
from each import EACH_RULE

import recredit
from recredit.audit import audit
from recredit.kinds import RULE
from recredit.registry import find
from recredit.rules import RULES

CONTRACT = {"init", "update", "delay", "period", "self"}
KNOWN = {
    name for kind in (recredit.LeakyRNN, recredit.Step, recredit.Clock) for name in (*dir(kind), *kind.__dataclass_fields__)
} | CONTRACT


def own_names(tree):
    """The names that a file gives, and those of fields among them."""
    given, fields = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            given.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.add(node.id)
        elif isinstance(node, ast.arg):
            given.add(node.arg)
        if isinstance(node, ast.ClassDef):
            fields |= {each.target.id for each in node.body if isinstance(each, ast.AnnAssign)}
            fields |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    return given - KNOWN, fields - KNOWN


def renamed(source, kept):
    """A file whose own names, but for those `kept`, say nothing, and what each is called now."""
    tree = ast.parse(source)
    given, fields = own_names(tree)
    imports = {
        line
        for each in tree.body
        if isinstance(each, ast.Import | ast.ImportFrom)
        for line in range(each.lineno, each.end_lineno + 1)
    }
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    after_dot = {b.string for a, b in itertools.pairwise(tokens) if a.string == "."} - fields
    keywords = {each.arg for each in ast.walk(tree) if isinstance(each, ast.keyword)} - fields  # others' functions', perhaps
    names = {name: f"x{k}" for k, name in enumerate(sorted(given - after_dot - keywords - kept))}
    out = [(t.type, names.get(t.string, t.string) if t.start[0] not in imports else t.string) for t in tokens]
    return tokenize.untokenize(out), names


def verdicts(rule):
    return {name: cell.verdict for name, cell in audit(rule, measure=False).cells.items()}


@pytest.mark.parametrize("name", [each for each in EACH_RULE if inspect.isclass(RULES[each.values[0]])])
def test_a_rule_without_its_names_gets_the_same_verdicts(name, tmp_path):
    kind = RULES[name]
    inherited = {name for base in kind.__mro__[1:] for name in dir(base)}
    text, names = renamed(Path(inspect.getfile(kind)).read_text(), inherited)
    assert kind.__name__ in names
    file = tmp_path / "y.py"
    file.write_text(text)
    _, other = find(RULE, f"{file}:{names[kind.__name__]}")
    assert other is not kind
    assert verdicts(other()) == verdicts(kind())
