"""Rules of the user's own, from a Python file: path/to/file.py:MyRule, or the path alone if the file holds one rule."""

import contextlib
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from recredit.errors import nearest
from recredit.rule import AbstractRule


def is_file(spec: str) -> bool:
    """Whether a rule is meant as a file."""
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def load(spec: str) -> type[AbstractRule]:
    """The rule class that a file holds. Raises ValueError, one sentence, if there is no such file or rule."""
    file, _, name = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    names = _run(file)
    own = {key: kind for key, kind in names.items() if _is_rule(kind) and kind.__module__ == names["__name__"]}
    told = ", ".join(own) or "none"
    if not name and len(own) != 1:
        raise ValueError(f"{file} must hold one learning rule, or have it named as {file}:NAME; its learning rules: {told}.")
    if not name:
        return next(iter(own.values()))
    if name not in names:
        raise ValueError(f'{file} has no "{name}"; its learning rules: {told}.{nearest(name, names)}')
    if not _is_rule(names[name]):
        raise ValueError(f"{name} in {file} is no learning rule: a subclass of recredit.AbstractRule with init and update.")
    return names[name]


def last_line(error: BaseException) -> str:
    """What a traceback ends with."""
    return traceback.format_exception_only(error)[-1].strip().rstrip(".")


def _is_rule(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, AbstractRule) and not inspect.isabstract(value)


def _run(file: str) -> dict[str, Any]:
    """The names that a Python file defines, run as a script is run."""
    path = Path(file).resolve()
    if not path.is_file():
        raise ValueError(f"the file {file} does not exist.")
    module = ModuleType(str(path))  # a name that no other module has
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up what their annotations name
    sys.path.insert(0, str(path.parent))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for verdicts
            exec(compile(path.read_bytes(), path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        where = f" at line {lines[-1]}" if lines and lines[-1] else ""
        raise ValueError(f"{file} cannot be imported{where}: {last_line(error)}.") from None
    return vars(module)
