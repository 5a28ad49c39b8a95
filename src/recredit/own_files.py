"""Classes of the user's own, from a Python file: path/to/file.py:MyRule, or the path alone if the file holds one such class."""

import ast
import builtins
import contextlib
import errno
import hashlib
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from recredit.errors import beside, nearest, real_file, user_path
from recredit.kinds import Kind

STDLIB, RECREDIT = Path(sysconfig.get_paths()["stdlib"]).resolve(), Path(__file__).resolve().parent


@dataclass(frozen=True)
class OwnClass:
    """A class of the user's own, and the source that it was made from."""

    name: str
    """What its file calls it."""
    itself: type
    kind: Kind
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
    late: frozenset[str]
    """Modules that calls of `importlib.import_module` in functions name: they take whatever goes by that name."""


class _Neighbours:
    """The modules beside a file: its own, and each other's, inside functions too, whatever other files call theirs.

    The file and its neighbours have an `__import__` that first puts these modules in the place of any others of their names.
    """

    placed: "_Neighbours | None" = None
    """Those in whose place nothing else is imported at this moment."""
    on_path: str | None = None
    """The folder that was put on Python's path last."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.stems = {entry.stem for entry in folder.iterdir()} - {"__main__"}
        self.modules: dict[str, ModuleType] = {}
        self.builtins = vars(builtins) | {"__import__": self._import}

    def _import(self, *given: Any, **named: Any) -> Any:
        with self.in_place():
            return builtins.__import__(*given, **named)

    def find_spec(self, name: str, path: Sequence[str] | None = None, _: Any = None) -> ModuleSpec | None:
        """A module beneath the folder, as Python asks its finders; None: another finder's."""
        spec = PathFinder.find_spec(name, path or [str(self.folder)])
        if spec and type(spec.loader) is SourceFileLoader and _is_beneath(self.folder, Path(spec.loader.path)):
            spec.loader = _Loader(name, spec.loader.path, self)
            return spec
        return None

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Import these first. Modules of the same names that are no other file's neighbours come back at the end."""
        if _Neighbours.placed is self:
            yield
            return
        before, hidden = _Neighbours.placed, {}
        for name, module in list(sys.modules.items()):
            owner, named_alike = _owner(module), name.split(".")[0] in self.stems
            if owner is not self if owner else named_alike and not _is_installed(_file(module)):
                hidden[name] = sys.modules.pop(name)
        sys.modules |= self.modules
        sys.meta_path.insert(0, self)
        _Neighbours.placed = self
        self._on_path()
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            self.modules = {name: module for name, module in sys.modules.items() if _owner(module) is self}
            sys.modules |= {name: module for name, module in hidden.items() if before or not _owner(module)}
            _Neighbours.placed = before
            if before:
                before._on_path()

    def _on_path(self) -> None:
        """Put the folder first on Python's path, in place of another file's."""
        if _Neighbours.on_path in sys.path:
            sys.path.remove(_Neighbours.on_path)
        _Neighbours.on_path = str(self.folder)
        sys.path.insert(0, _Neighbours.on_path)


class _Loader(SourceFileLoader):
    """Of a neighbour, whose functions import what is its own."""

    def __init__(self, name: str, path: str, owner: _Neighbours):
        super().__init__(name, path)
        self.owner = owner

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self.owner.builtins
        super().exec_module(module)


def _owner(module: Any) -> _Neighbours | None:
    """Whose neighbour a module is."""
    loader = getattr(getattr(module, "__dict__", {}).get("__spec__"), "loader", None)
    return loader.owner if isinstance(loader, _Loader) else None


def _file(module: Any) -> Path:
    return Path(getattr(module, "__file__", None) or STDLIB).resolve()  # without one: built in, or a folder


def _is_installed(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & {*file.parts}
    return bool(installed) or any(file.is_relative_to(home) for home in (STDLIB, RECREDIT))


def _is_beneath(folder: Path, file: Path) -> bool:
    """Whether a module's file lies beneath a folder and is not installed."""
    return file.resolve().is_relative_to(folder) and not _is_installed(file.resolve())


_RUN: dict[Path, _Script] = {}  # a file is run once, and again if its source changes


def is_file(spec: str) -> bool:
    """Whether a name means a class in a file."""
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def load(spec: str, kind: Kind, digest: str | None = None) -> OwnClass:
    """The class of a `kind` that a file holds.

    Raises ValueError, one sentence, if there is no such file or class, and if a `digest` is given that is not its source's: the
    file has changed.
    """
    file, _, name = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    try:
        path = real_file(user_path(file)).resolve()
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise ValueError(
            f"the file {file} {'does not exist' if gone else f'cannot be read: {error.strerror}'}.{beside(file)}"
        ) from None
    if path.is_dir():
        raise ValueError(f"the file {file} does not exist; a folder has that name.")
    script = _run(path, file)
    if digest is not None and script.digest != digest:
        raise ValueError(
            f"{file}, or a module beside it that it imports, has changed since the run began; start the run again."
        )
    _check_apart(path, script)
    names = script.names
    own = [key for key, value in names.items() if kind.has(value) and value.__module__ == names["__name__"]]
    told = f"its {kind.nouns}: {', '.join(own) or 'none'}"
    if not name and (len(own) != 1 or spec.endswith(":")):
        raise ValueError(f"{file} must hold exactly one {kind.noun}, or you must name it, as {file}:NAME; {told}.")
    name = name or own[0]
    if name not in names:
        raise ValueError(f'{file} has no "{name}"; {told}.{nearest(name, names)}')
    if not kind.has(names[name]):
        raise ValueError(
            f"{name} in {file} is not a {kind.noun}, which is a subclass of recredit.{kind.base.__name__} with {kind.needs}."
        )
    return OwnClass(name, names[name], kind, path, script.digest)


def _check_apart(file: Path, script: _Script) -> None:
    """Raise ValueError if a function would import by `importlib.import_module` what lies beside another file."""
    for other, theirs in _RUN.items():
        for name in sorted((script.late | theirs.late) & script.modules.keys() & theirs.modules.keys()):
            if _digest(script.modules[name], {}) != _digest(theirs.modules[name], {}):
                raise ValueError(
                    f"{file} and {other} each have a module {name} beside them, which importlib.import_module in a function "
                    f"cannot tell apart; write import {name} there, or give one of the modules a different name."
                )


def last_line(error: BaseException) -> str:
    """What a traceback ends with."""
    notes = sum(note.count("\n") + 1 for note in getattr(error, "__notes__", []))  # JAX's, about frames that it hides
    lines = traceback.format_exception_only(error)
    return lines[len(lines) - notes - 1].strip().rstrip(".")


def _run(path: Path, file: str) -> _Script:
    """Run a Python file as a script, unless it has already been run in its present state; `file` is what the user calls it."""
    known = _RUN.get(path)
    if known and known.digest == _digest(path, known.modules):
        return known
    neighbours = _Neighbours(path.parent)
    module = ModuleType(str(path))  # a name that no other module has
    vars(module).update(__file__=str(path), __builtins__=neighbours.builtins)
    sys.modules[module.__name__] = module  # where dataclasses look up what their annotations name
    before, writes_bytecode = set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = (
        True  # Python would take bytecode from the same second and of the same size for that of the present source
    )
    try:
        with contextlib.redirect_stdout(sys.stderr), neighbours.in_place():  # standard output is for verdicts
            exec(compile(path.read_bytes(), path, "exec"), vars(module))
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        where = f" at line {lines[-1]}" if lines and lines[-1] else ""
        raise ValueError(f"{file} cannot be imported{where}: {last_line(error)}.") from None
    finally:
        sys.dont_write_bytecode = writes_bytecode
    loaded = {name: sys.modules[name] for name in sys.modules.keys() - before} | neighbours.modules
    beside = {name: _file(loaded[name]) for name in loaded if _is_beneath(path.parent, _file(loaded[name]))}
    modules = dict(_imported(path, path.parent, {path})) | beside
    late = _spoken_late([path, *modules.values()])
    _RUN[path] = _Script(vars(module), modules, _digest(path, modules), late)
    return _RUN[path]


def _digest(path: Path, modules: dict[str, Path]) -> str:
    files = {"": path, **dict(sorted(modules.items()))}
    both = repr([(name, file.read_bytes() if file.is_file() else None) for name, file in files.items()])
    return hashlib.sha256(both.encode()).hexdigest()[:16]


def _imported(file: Path, folder: Path, seen: set[Path]) -> Iterator[tuple[str, Path]]:
    """The modules beneath a folder that a file imports anywhere in its text, so inside functions too, and that those import."""
    for node in ast.walk(_tree(file) or ast.Module([], [])):
        start, names = folder, [_spoken(node), _spoken(node, "__import__")]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[min(node.level, len(file.parents)) - 1] if node.level else folder
            names = [f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names]
        for name in filter(None, names):
            parts = name.split(".")
            for stem in (start.joinpath(*parts[:k]) for k in range(1, len(parts) + 1)):
                for found in (stem.with_suffix(".py"), stem / "__init__.py"):
                    if found not in seen and found.is_relative_to(folder) and found.is_file():
                        seen.add(found)
                        yield ".".join(stem.relative_to(folder).parts), found
                        yield from _imported(found, folder, seen)


def _spoken(node: ast.AST, function: str = "import_module") -> str:
    """The module that a call of `importlib.import_module` names by a literal; '' for anything else."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] != function:
        return ""
    given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "name")][:1]
    name = "".join(str(each.value).lstrip(".") for each in given if isinstance(each, ast.Constant))
    return name if all(part.isidentifier() for part in name.split(".")) else ""


def _spoken_late(files: Iterable[Path]) -> frozenset[str]:
    """The modules, without what is in them, that functions in these files import by `importlib.import_module`."""
    trees = [tree for tree in map(_tree, files) if tree]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    names = {_spoken(node) for function in functions for node in ast.walk(function)}
    return frozenset(name.split(".")[0] for name in names if name)


def _tree(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return None
