"""Is a rule a function of its arguments? Its methods are traced again, and once more with other numbers outside of them.

Whatever its program takes from outside would be hidden: every array must live in the network, the step or the state. And what
changes from one trace to the next is frozen as soon as the program is compiled.
"""

import contextlib
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.experimental.xla_metadata import set_xla_metadata

from recredit.audit.program.audited import Audited
from recredit.audit.program.outside import HOMES, Thing, changed, contents, forget, outside
from recredit.audit.program.trace import traced
from recredit.audit.program.unfold import user_frames
from recredit.contract import in_a_sentence, random_key
from recredit.jaxprs import programs_of
from recredit.rule import AbstractRule

Said = list[tuple[Any, Any]]
_fresh = itertools.count()
_WORLD = {"time", "posix", "nt", "io", "_io", "datetime", "builtins", "numpy"}  # modules of the built-in functions that ask it
_ASKING = {"time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "now", "utcnow",
           "today", "open", "fromfile", "input", "urandom", "getrandom"}  # fmt: skip


def check_pure(rule: AbstractRule, name: str, sizes: tuple[int, int, int], audited: Audited) -> tuple[str, ...]:
    """Raise ValueError, one sentence, for a rule that holds arrays outside of its arguments, or whose two traces differ.

    Returns a remark on everything else that it does to the world or reads from it.
    """
    program, (net, step, key) = traced(rule, sizes, name, audited)
    remarks = []
    for method, arguments in {"init": (net, key), "update": (net, step, program.state, key)}.items():
        remarks += _check(rule, f"{name}'s {method}", method, arguments)
    if program.update.effects:  # prints, say: they are shown once
        with in_a_sentence(f"{name}'s update", rule.update):
            net, step = jax.tree.map(lambda a: jax.numpy.zeros(a.shape, a.dtype), (net, step))
            rule.update(net, step, rule.init(net, random_key(0)), random_key(1))
            jax.effects_barrier()
    return tuple(dict.fromkeys(remarks))


def _check(rule: AbstractRule, what: str, method: str, arguments: tuple[Any, ...]) -> Iterator[str]:
    function = getattr(rule, method)
    drawn = _drawn()
    with in_a_sentence(f"{what} is not a pure function: traced again, it", function):
        first = _program(function, arguments)  # a cache that this call fills is not filled again
        said = [*_spelled(first)]  # now: its constants may be parts of arrays that will change
        things = outside(rule, method)
        before = contents(things)
        forget(things)
        with _called_outside() as calls:
            second = _program(function, arguments)
    things = outside(rule, method)
    after = contents(things)
    pure = "random numbers must come from the key, and what changes from step to step must live in the state"
    if (difference := _difference(said, second)) is not None:
        raise ValueError(f"{what} is not a pure function: traced twice, it gives two programs{difference}; {pure}.")
    if generators := [generator for generator, was in drawn.items() if was != _drawn()[generator]]:
        raise ValueError(f"{what} is not a pure function: it draws from {generators[0]}; {pure}.")
    if array := _read(things, said, function, arguments):
        raise ValueError(
            f"{what} closes over {array.name}, an array of shape {np.shape(array.value)}: "
            "every array must live in the network, the step or the state."
        )
    same = {id(c) for c in first.consts} & {id(c) for c in second.consts}
    if hidden := [c for c in second.consts if id(c) in same and np.ndim(c) > 0]:
        raise ValueError(
            f"{what} closes over an array of shape {np.shape(hidden[0])}: "
            "every array must live in the network, the step or the state."
        )
    does = [f"changes {key[0]} outside of itself" for key in after if key in before and before[key] != after[key]]
    for each in dict.fromkeys([*does, *(f"calls {call}" for call in calls)]):
        yield f"{what} is not a pure function: it {each}, which a compiled program does only once."


def _program(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """A function's program, traced anew down to the functions that it calls, whatever JAX has kept of them."""
    with set_xla_metadata(audit=next(_fresh)):  # JAX's caches are separate for each such setting
        return jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments)


def _difference(said: Said, program: Any) -> str | None:
    """Where what a program says differs from another: ", which differ at line 7 of my_rule.py"; None if it does not."""
    for (one, eqn), (other, _) in itertools.zip_longest(said, _spelled(program), fillvalue=("", None)):
        if one != other:
            frames = user_frames(eqn) if eqn is not None else ()
            return f", which differ at line {frames[0].line} of {Path(frames[0].file).name}" if frames else ""
    return None


def _spelled(closed: Any) -> Iterator[tuple[Any, Any]]:
    """What a program says, equation by equation, and these; last the constants, for an equation tells more."""
    jaxpr, numbers = getattr(closed, "jaxpr", closed), {}
    for eqn in jaxpr.eqns:
        ins = tuple(_value(v.val) if hasattr(v, "val") else numbers.setdefault(v, len(numbers)) for v in eqn.invars)
        outs = tuple((numbers.setdefault(v, len(numbers)), str(v.aval)) for v in eqn.outvars)
        inside = programs_of(eqn)
        plain = [(k, str(v)) for k, v in eqn.params.items() if isinstance(v, str | int | float | tuple) and not inside]
        yield (eqn.primitive.name, ins, outs, plain), eqn
        for inner in inside:
            yield from _spelled(inner)
    yield tuple(_value(v.val) if hasattr(v, "val") else numbers.get(v) for v in jaxpr.outvars), None
    yield from ((_value(constant), None) for constant in getattr(closed, "consts", ()))


def _value(constant: Any) -> Any:
    if isinstance(constant, Tracer):
        return id(constant)  # one that another trace left behind
    if jax.numpy.issubdtype(jax.typeof(constant).dtype, jax.dtypes.prng_key):
        constant = jax.random.key_data(constant)
    array = np.asarray(constant)
    return array.shape, array.dtype.str, array.tobytes()


def _drawn() -> dict[str, Any]:
    """How far the two generators that all share have come."""
    numpys: Any = np.random.get_state()
    numpys = (*numpys[:1], numpys[1].tobytes(), *numpys[2:])
    return {"Python's random numbers": random.getstate(), "NumPy's random numbers": numpys}


def _read(things: list[Thing], said: Said, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Thing | None:
    """The array with whose numbers a program changes; None if there is none."""
    arrays = [thing for thing in things if thing.is_array]

    def matter(some: list[Thing]) -> bool:
        try:
            with changed(some):
                forget(things)
                return _difference(said, _program(function, arguments)) is not None
        except Exception:  # it fails with other numbers
            return True

    if not arrays or not matter(arrays):
        return None
    return next((thing for thing in arrays if matter([thing])), arrays[0])


@contextlib.contextmanager
def _called_outside() -> Iterator[list[str]]:
    """What the code of a user, or a library on its behalf, asks of clocks, files and the like meanwhile."""
    calls: list[str] = []

    def watch(frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ in _ASKING:
            module = called.__module__ or getattr(called.__self__, "__module__", "")
            while module in _WORLD and frame and frame.f_code.co_filename.startswith(HOMES):  # as NumPy, which reads files
                frame = None if "jax" in frame.f_code.co_filename else frame.f_back
            if module in _WORLD and frame and not frame.f_code.co_filename.startswith("<frozen"):
                calls.append(f"{called.__name__}() at line {frame.f_lineno} of {Path(frame.f_code.co_filename).name}")

    if sys.getprofile() is not None:  # another profiler is running
        yield calls
        return
    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(None)
