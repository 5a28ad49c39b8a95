"""Rules of the user's own, from a Python file: path/to/file.py:MyRule, or the path alone if the file holds one rule."""

import ast
import contextlib
import hashlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from recredit.errors import nearest, user_path
from recredit.rule import AbstractRule

STDLIB, RECREDIT = Path(sysconfig.get_paths()["stdlib"]).resolve(), Path(__file__).resolve().parent


@dataclass(frozen=True)
class OwnRule:
    """A rule class of the user's own, and the source that it was made from."""

    name: str
    """What its file calls it."""
    kind: type[AbstractRule]
    file: Path
    """Absolute."""
    digest: str
    """Of the file and of the modules beside it that it imports; where they lie does not matter."""


@dataclass(frozen=True)
class _Script:
    """A Python file that was run."""

    names: dict[str, Any]
    modules: dict[str, Path]
    """The modules beneath the file's folder that it imports, or that those import, by what they are called from the folder."""
    digest: str


_RUN: dict[Path, _Script] = {}  # a file is run once, and again when its source has changed


def is_file(spec: str) -> bool:
    """Whether a rule is meant as a file."""
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def load(spec: str, digest: str | None = None) -> OwnRule:
    """The rule class that a file holds.

    Raises ValueError, one sentence, if there is no such file or rule, and if a `digest` is given that is not its source's: the
    file has changed.
    """
    file, _, name = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    path = user_path(file).resolve()
    if not path.is_file():
        raise ValueError(f"the file {file} does not exist.")
    script = _run(path, file)
    if digest is not None and script.digest != digest:
        raise ValueError(f"{file}, or a module beside it that it imports, has changed since the run began; start it again.")
    names = script.names
    own = {key: kind for key, kind in names.items() if _is_rule(kind) and kind.__module__ == names["__name__"]}
    told = ", ".join(own) or "none"
    if not name and (len(own) != 1 or spec.endswith(":")):
        raise ValueError(f"{file} must hold one learning rule, or have it named as {file}:NAME; its learning rules: {told}.")
    name = name or next(iter(own))
    if name not in names:
        raise ValueError(f'{file} has no "{name}"; its learning rules: {told}.{nearest(name, names)}')
    if not _is_rule(names[name]):
        raise ValueError(f"{name} in {file} is no learning rule: a subclass of recredit.AbstractRule with init and update.")
    return OwnRule(name, names[name], path, script.digest)


def last_line(error: BaseException) -> str:
    """What a traceback ends with."""
    notes = sum(note.count("\n") + 1 for note in getattr(error, "__notes__", []))  # JAX's, of frames that it hides
    lines = traceback.format_exception_only(error)
    return lines[len(lines) - notes - 1].strip().rstrip(".")


def _is_rule(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, AbstractRule) and not inspect.isabstract(value)


def _run(path: Path, file: str) -> _Script:
    """Run a Python file as a script is run, unless it has been run as it is; `file` is what the user calls it."""
    known = _RUN.get(path)
    if known and known.digest == _digest(path, known.modules):
        return known
    for name in {name for script in _RUN.values() for name in script.modules}:
        sys.modules.pop(name, None)  # imported anew: it may have changed, or be another of that name beside another file
    module = ModuleType(str(path))  # a name that no other module has
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up what their annotations name
    sys.path.insert(0, str(path.parent))
    before, writes_bytecode = set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Python takes bytecode of the same second and size for that of today's source
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for verdicts
            exec(compile(path.read_bytes(), path, "exec"), vars(module))
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        where = f" at line {lines[-1]}" if lines and lines[-1] else ""
        raise ValueError(f"{file} cannot be imported{where}: {last_line(error)}.") from None
    finally:
        sys.dont_write_bytecode = writes_bytecode
    loaded = {name: sys.modules[name] for name in sys.modules.keys() - before}
    modules = dict(_imported(path, path.parent, {path})) | dict(_beside(loaded, path.parent))
    _RUN[path] = _Script(vars(module), modules, _digest(path, modules))
    return _RUN[path]


def _digest(path: Path, modules: dict[str, Path]) -> str:
    files = {"": path, **dict(sorted(modules.items()))}
    both = repr([(name, file.read_bytes() if file.is_file() else None) for name, file in files.items()])
    return hashlib.sha256(both.encode()).hexdigest()[:16]


def _beside(modules: dict[str, ModuleType], folder: Path) -> Iterator[tuple[str, Path]]:
    """Those of some modules, and their files, that lie beneath a folder and are not installed."""
    for name, module in modules.items():
        file = Path(getattr(module, "__file__", None) or "/").resolve()
        installed = any(file.is_relative_to(home) for home in (STDLIB, RECREDIT)) or "site-packages" in file.parts
        if file.is_relative_to(folder) and not installed:
            yield name, file


def _imported(file: Path, folder: Path, seen: set[Path]) -> Iterator[tuple[str, Path]]:
    """The modules beneath a folder that a file imports anywhere in its text, so inside functions too, and that those import."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        start, names = folder, []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[min(node.level, len(file.parents)) - 1] if node.level else folder
            names = [f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            for stem in (start.joinpath(*parts[:k]) for k in range(1, len(parts) + 1)):
                for found in (stem.with_suffix(".py"), stem / "__init__.py"):
                    if found not in seen and found.is_relative_to(folder) and found.is_file():
                        seen.add(found)
                        yield ".".join(stem.relative_to(folder).parts), found
                        yield from _imported(found, folder, seen)
