"""What the code of a rule can reach without its arguments: closures, globals, defaults, attributes, and what these hold."""

import contextlib
import functools
import gc
import random
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Number
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

HOMES = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_Cached = type(functools.cache(len))
_MOST = 5_000  # objects that are looked at
_FEW = 16  # numbers in a list are settings; more of them, or lists of lists, are an array


@dataclass(frozen=True)
class Thing:
    """Something outside of a rule's arguments."""

    name: str
    """How the code calls it: "SIGNS", "TABLES.shuffled", "pair[1]"."""
    value: Any
    put: Callable[[Any], None] | None = None
    """Puts another value in its place, where that can be done."""

    @property
    def is_array(self) -> bool:
        """Whether it is an array, or a list that is used as one."""
        if isinstance(self.value, list | tuple):
            return _listed(self.value) > _FEW or (_listed(self.value) > 0 and not isinstance(self.value[0], Number))
        return _is_array(self.value) and np.ndim(self.value) > 0


def outside(rule: Any, method: str) -> list[Thing]:
    """All that the code of a rule's method can reach by names of its own, libraries apart."""
    own = type(rule).__module__.partition(".")[0]
    found, seen, stack = [], set(), [(Thing(type(rule).__name__, type(rule)), {method}), (Thing("", rule), {method})]
    while stack and len(found) < _MOST:
        thing, names = stack.pop()
        leaf = isinstance(thing.value, str | bytes | Number | Tracer | None) or _is_array(thing.value)
        if not leaf and (id(thing.value) in seen or _is_library(thing.value, own)):
            continue
        seen.add(id(thing.value))
        found.append(thing)
        if not leaf and not thing.is_array:
            stack.extend(_within(thing, names))
    return found


def _within(thing: Thing, names: set[str]) -> Iterator[tuple[Thing, set[str]]]:
    """What a thing holds; of a module what one of the names calls."""
    value, at = thing.value, f"{thing.name}." if thing.name else ""
    if isinstance(value, FunctionType):
        names = {name for code in _codes(value.__code__) for name in code.co_names}
        for name in names & value.__globals__.keys():
            yield Thing(name, value.__globals__[name], functools.partial(value.__globals__.__setitem__, name)), names
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # nothing in it yet
                yield Thing(name, cell.cell_contents, functools.partial(setattr, cell, "cell_contents")), names
        given = value.__code__.co_varnames[: value.__code__.co_argcount]
        for k, default in enumerate(value.__defaults__ or ()):

            def put(new: Any, k: int = k, held: tuple = value.__defaults__ or ()) -> None:
                value.__defaults__ = (*held[:k], new, *held[k + 1 :])

            yield Thing(given[k - len(value.__defaults__ or ())], default, put), names
        held, own = value.__kwdefaults__ or {}, vars(value)
        yield from ((Thing(name, each, functools.partial(held.__setitem__, name)), names) for name, each in held.items())
        yield from ((Thing(name, each, functools.partial(own.__setitem__, name)), names) for name, each in own.items())
    elif isinstance(value, ModuleType):
        for name in names & vars(value).keys():
            yield Thing(at + name, vars(value)[name], functools.partial(setattr, value, name)), names
    elif isinstance(value, dict):
        yield from (
            (Thing(f"{thing.name}[{k!r}]", v, functools.partial(value.__setitem__, k)), names) for k, v in value.items()
        )
    elif isinstance(value, list):
        yield from (
            (Thing(f"{thing.name}[{k}]", v, functools.partial(value.__setitem__, k)), names) for k, v in enumerate(value)
        )
    elif isinstance(value, tuple):
        make = getattr(value, "_make", tuple)  # a named tuple
        for k, each in enumerate(value):

            def rebuild(new: Any, k: int = k) -> None:
                if thing.put is not None:
                    thing.put(make([*value[:k], new, *value[k + 1 :]]))

            yield Thing(f"{thing.name}[{k}]", each, rebuild if thing.put else None), names
    elif isinstance(value, _Cached):
        yield Thing(thing.name, value.__wrapped__), names
    elif isinstance(value, type):
        for base in value.__mro__:
            if base is value or not _is_library(base, value.__module__.partition(".")[0]):
                for name, each in vars(base).items():
                    yield Thing(f"{base.__name__}.{name}", each, functools.partial(type.__setattr__, base, name)), names
    else:
        held = getattr(value, "__dict__", {})
        for name, each in held.items() if isinstance(held, dict) else ():
            yield Thing(at + name, each, functools.partial(held.__setitem__, name)), names
        yield Thing(type(value).__name__, type(value)), names
        rest = [
            each for each in gc.get_referents(value) if each is not type(value) and each is not getattr(value, "__dict__", None)
        ]
        yield from ((Thing(thing.name, each), names) for each in rest)
        yield Thing(thing.name, getattr(value, "__wrapped__", None)), names


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def _is_library(value: Any, own: str) -> bool:
    """Whether a thing is not of the user's: of Python or an installed package, but for that of the rule itself."""
    if isinstance(value, BuiltinFunctionType):
        return True
    named = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if not isinstance(value, ModuleType | FunctionType | type) or not isinstance(named, str):
        return False
    top = named.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return top != own and (top == "recredit" or top in sys.builtin_module_names or file.startswith(HOMES))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) or (isinstance(value, jax.Array) and not isinstance(value, Tracer))


def _listed(value: Any) -> int:
    """How many numbers a list, or a list of lists, holds; 0 if it holds anything else."""
    if not isinstance(value, list | tuple):
        return int(isinstance(value, Number))
    counts = [_listed(each) for each in value]
    return sum(counts) if all(counts) else 0


def contents(things: list[Thing]) -> dict[tuple[str, int], Any]:
    """What things hold now, to be compared later: by name, and by number among those of one name."""
    count: Counter[str] = Counter()
    found: dict[tuple[str, int], Any] = {}
    for thing in things:
        found[thing.name, count[thing.name]] = _held(thing.value)
        count[thing.name] += 1
    return found


def _held(value: Any) -> Any:
    if isinstance(value, str | bytes | Number | None):
        return value
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    if isinstance(value, list | set | tuple):
        return _Same(value)
    if isinstance(value, dict):
        return _Same(value.values())
    if hasattr(value, "__next__") and type(value).__module__ in ("builtins", "itertools"):
        with contextlib.suppress(TypeError):  # a generator cannot be reduced
            return str(value.__reduce__())
    return _Same([value])


class _Same:
    """Some things, equal to others that are the same objects."""

    def __init__(self, things: Any):
        self.things = list(things)  # kept alive, so that no other object gets the same id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and [*map(id, self.things)] == [*map(id, other.things)]


def forget(things: list[Thing]) -> None:
    """Empty the caches of functions: what they gave before tells nothing of what they would give."""
    for thing in things:
        if isinstance(thing.value, _Cached):
            thing.value.cache_clear()


@contextlib.contextmanager
def changed(things: list[Thing]) -> Iterator[None]:
    """With other numbers in some arrays."""
    with contextlib.ExitStack() as restored:
        for thing in things:
            if isinstance(thing.value, np.ndarray) and _is_own(thing.value):
                restored.callback(functools.partial(np.copyto, thing.value, thing.value.copy()))
                np.copyto(thing.value, _other(thing.value), casting="unsafe")
            elif thing.put is not None:
                restored.callback(thing.put, thing.value)
                thing.put(_other(thing.value))
        yield


def _is_own(array: np.ndarray) -> bool:
    """Whether an array may be written to: it lies in memory that is NumPy's own, and not in a file."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    return bool(array.flags.writeable and root.flags.owndata)


def _other(value: Any) -> Any:
    """Other numbers of the same type, on the other side of 0 as well."""
    if isinstance(value, list | tuple):
        others = [_other(each) for each in value]
        return others if isinstance(value, list) else tuple(others)
    if isinstance(value, bool | np.bool_) or getattr(value, "dtype", None) == np.dtype(bool):
        return value ^ True
    dtype = getattr(value, "dtype", None)
    if isinstance(value, int) or (dtype is not None and np.issubdtype(dtype, np.integer)):
        return 1 - value
    return 0.3 - 1.7 * value if dtype is None or np.issubdtype(dtype, np.inexact) else value
