"""The contract of units: what a network's units do with their voltages, each on its own.

A unit has S state variables and G voltages. With n units, and one array (n,) for each variable and each voltage,

    s^t = f(s^{t-1}, v^t)       its next state
    r^t = g(s^t)                its rate, what other units get
    o^t = out(s^t)              what the read-out gets, one array or several

A unit's next state depends on its own state and voltages alone, so f, g and out are written for all units at once, elementwise,
and the derivatives L = ds'/ds, D = ds'/dv, R = dg/ds are numbers for each unit. They are computed by forward differentiation,
one pass per column, unless the units define them.
"""

import functools
import itertools
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Var
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import brief, check_choice, check_fields
from recredit.jaxprs import called
from recredit.network.unitwise import blocks

PerUnit = tuple[Any, ...]
"""One array (n,) for each state variable, or each voltage, of a unit."""
Reads = Literal["all", "inputs", "units", "bias"]


class AbstractUnits(eqx.Module):
    """Units of one kind. Its fields are numbers and words, never arrays."""

    variables: ClassVar[tuple[str, ...]]
    """The names of a unit's state variables; the first is its rate unless the units say otherwise."""
    voltages: ClassVar[dict[str, Reads]]
    """The names of a unit's voltages, and what synapses reach each: from "all" presynaptic signals, or from "inputs" or
    "units" and the bias, or from the "bias" alone. A voltage that reads the bias alone is a learned parameter of the unit."""

    def __check_init__(self):
        check_fields(self)
        _check_units(self)

    @abstractmethod
    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        """The next state of all units, elementwise."""

    def g(self, s: PerUnit) -> Float[Array, " n"]:
        """The units' rates, elementwise; by default their first state variable."""
        return s[0]

    def out(self, s: PerUnit) -> PerUnit:
        """What the read-out gets from the units, elementwise; by default their rates."""
        return (self.g(s),)

    def rest(self, n: int) -> PerUnit:
        """The state of n units before a trial; by default zeros."""
        return tuple(jnp.zeros(n) for _ in self.variables)

    def first(self, n: int, key: PRNGKeyArray) -> PerUnit:
        """The state of n units before a run's first step; by default as before a trial."""
        return self.rest(n)

    def biases(self, n: int, key: PRNGKeyArray) -> PerUnit:
        """The initial weights from the bias, for each voltage; by default zeros."""
        return tuple(jnp.zeros(n) for _ in self.voltages)

    def memory(self, s: PerUnit, v: PerUnit) -> Float[Array, "*S_S n"] | float:
        """L = ds'/ds at fixed v, (S, S, n), or (n,) where S = G = 1 (`recredit.network.unitwise`)."""
        return blocks(lambda s: self.f(s, v), s, self.is_simple)

    def gain(self, s: PerUnit, v: PerUnit) -> Float[Array, "*S_G n"]:
        """D = ds'/dv, (S, G, n), or (n,) where S = G = 1."""
        return blocks(lambda v: self.f(s, v), v, self.is_simple)

    def rates_slope(self, s: PerUnit) -> Float[Array, "*S n"]:
        """R = dg/ds, (S, n), or (n,) where S = G = 1."""
        R = blocks(lambda s: (self.g(s),), s, self.is_simple)
        return R if self.is_simple else R[0]

    def out_slope(self, s: PerUnit) -> Float[Array, "K S n"]:
        """d out / ds, (K, S, n)."""
        return blocks(self.out, s, simple=False)

    @property
    def nonnegative(self) -> bool:
        """Whether rates are never below 0, so that a synapse's sign says what it does (Dale's law)."""
        return False

    @property
    def outputs(self) -> int:
        """How many arrays `out` gives."""
        return len(jax.eval_shape(lambda: self.out(self.rest(1))))

    @property
    def is_simple(self) -> bool:
        """Whether a unit has one state variable and one voltage: derivatives are then (n,), influences (n, ...)."""
        return len(self.variables) == len(self.voltages) == 1

    @property
    def are_recurrent(self) -> bool:
        """Whether units have synapses between them."""
        return not {"all", "units"}.isdisjoint(self.voltages.values())

    @property
    def rates_are_state(self) -> bool:
        """Whether a unit's one state variable is its rate, which the read-out gets too."""
        same = type(self).g is AbstractUnits.g and type(self).out is AbstractUnits.out
        return same and len(self.variables) == 1

    @property
    def depends_on_state(self) -> bool:
        """Whether L, D or R depend on the state before the step, and not on the voltages alone."""
        return True


def split(flat: Float[Array, "*K_n"], parts: int) -> PerUnit:
    """A flat array of states or voltages as one array (n,) for each."""
    return (flat,) if parts == 1 else tuple(flat.reshape(parts, -1))


def join(parts: PerUnit) -> Float[Array, " K_n"]:
    """One flat array of states or voltages."""
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def _check_units(units: AbstractUnits) -> None:
    """Raise ValueError unless units keep the contract: shapes, and no unit's state depends on another's.

    Each class with its numbers is tested once; the result is kept.
    """
    name = type(units).__name__
    for what, kind in (("variables", tuple), ("voltages", Mapping)):
        if not (given := getattr(units, what, None)):
            raise ValueError(f"the units {name} must name their {what}, at least one.")
        if not isinstance(given, kind) or len({*given}) < len(given):
            wanted = 'a table such as {"v": "all"}' if kind is Mapping else 'a tuple of different names, such as ("r",)'
            raise ValueError(f"the units {name} must have as {what} {wanted}, not {brief(given)}.")
    for voltage, reads in units.voltages.items():
        check_choice(f"what {name}'s voltage {voltage} reads", reads, get_args(Reads))
    try:
        hash(units)
    except TypeError:
        raise ValueError(f"the units {name} must have fields that are numbers and words, never arrays or lists.") from None
    if problem := _problem(units):
        raise ValueError(f"the units {name} {problem}.")


@functools.lru_cache(maxsize=256)
def _problem(units: AbstractUnits) -> str | None:
    """What is wrong with units, as a few of them show at random states and voltages; None: nothing."""
    S, G = len(units.variables), len(units.voltages)
    for n in (3, 4):  # what fits one number of units may not fit another
        draw = np.random.default_rng(0).normal(size=(S + G, n))
        s, v = (tuple(np.asarray(part, jnp.zeros(()).dtype) for part in parts) for parts in (draw[:S], draw[S:]))
        key = jax.random.key(0)
        parts: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int | None]] = {
            "f": (units.f, (s, v), S),
            "g": (lambda s: (units.g(s),), (s,), 1),
            "out": (units.out, (s,), None),
            "rest": (lambda n=n: units.rest(n), (), S),
            "first": (lambda n=n, key=key: units.first(n, key), (), S),
            "biases": (lambda n=n, key=key: units.biases(n, key), (), G),
        }
        for what, (function, given, count) in parts.items():
            told = _shapes(function, given)
            if isinstance(told, str):
                return f"have {'an' if what == 'f' else 'a function'} {what} that fails: {told}"
            are_arrays = isinstance(told, tuple) and told != ()
            shapes = [getattr(each, "shape", None) for each in told] if are_arrays else None
            if not shapes or any(shape != (n,) for shape in shapes) or count not in (None, len(shapes)):
                wanted = "arrays (n,), a tuple of them" if count is None else f"a tuple of {count} arrays (n,)"
                found = f"{shapes} where n = {n}" if shapes else "an array" if hasattr(told, "shape") else type(told).__name__
                return f"must have {what} give {'one array (n,)' if what == 'g' else wanted}, not {found}"
            if given and (wrong := [each.dtype for each in told if each.dtype != s[0].dtype]):
                return f"must have {what} give numbers of the type that it is given, {s[0].dtype}, not {wrong[0]}"
            if given and n == 3 and _program(function, given) != _program(function, given):
                return f"must have {what} be the same function whenever it is asked for: no randomness, nothing that changes"
            if given and n == 3 and _mixes(function, given):
                return (
                    f"mix: {what} of one unit depends on another, but it may depend only on the unit's own state and voltages"
                )
        if problem := _problem_of_slopes(units, s, v):
            return problem
    return None


def _problem_of_slopes(units: AbstractUnits, s: PerUnit, v: PerUnit) -> str | None:
    """What is wrong with the shapes of the derivatives that units define themselves; None: nothing."""
    S, G, n = len(units.variables), len(units.voltages), len(s[0])
    slopes: dict[str, tuple[tuple[Any, ...], tuple[int, ...]]] = {
        "memory": ((s, v), (S, S, n)),
        "gain": ((s, v), (S, G, n)),
        "rates_slope": ((s,), (S, n)),
        "out_slope": ((s,), (units.outputs, S, n)),
    }
    for what, (given, shape) in slopes.items():
        if getattr(type(units), what) is getattr(AbstractUnits, what):
            continue
        told = _shapes(getattr(units, what), given)
        if isinstance(told, str):
            return f"have a function {what} that fails: {told}"
        wanted = (n,) if units.is_simple and what != "out_slope" else shape
        found = getattr(told, "shape", type(told).__name__)
        if found not in ((wanted, ()) if what == "memory" and units.is_simple else (wanted,)):
            return f"must have {what} give an array of shape {wanted} where n = {n}, not {found}"
    return None


def _program(function: Callable[..., Any], given: tuple[Any, ...]) -> str:
    """A function's program as text, traced anew."""
    return re.sub(r" at 0x\w+", "", str(jax.make_jaxpr(lambda *given: function(*given))(*given)))


def _shapes(function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    """The shapes of what a function returns; if it fails, what is wrong, in words."""
    try:
        return jax.eval_shape(function, *given)
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0]
        return f"{type(error).__name__}: {line.rstrip('.')}"


NAMES = """
    abs add add_any and atan2 cbrt ceil clamp convert_element_type copy copy_p cos cosh div eq erf erf_inv exp exp2 expm1
    floor ge gt integer_pow is_finite le log log1p logistic lt max min mul ne neg not or pow rem round rsqrt select_n sign
    sin sinh sqrt square stop_gradient sub tan tanh xor
"""
BY_ELEMENTS = frozenset(NAMES.split())
"""Primitives that work on each element alone."""
SCALES = (0.1, 1, 1, 10, 1000)
"""Sizes of the numbers at which units are tried."""


def _mixes(function: Callable[..., Any], given: tuple[Any, ...]) -> bool:
    """Whether an entry of a function's result depends on an entry at another place, even if only through a comparison.

    Unless everything is elementwise, one unit after another is given other numbers, small and large: the rest must not change.
    """
    if _is_by_elements(jax.make_jaxpr(function)(*given).jaxpr):
        return False
    draw, tried = np.random.default_rng(1), jax.jit(function)
    leaves, structure = jax.tree.flatten(given)
    with jax.ensure_compile_time_eval():  # numbers, also where a network is made within a traced function
        for scale, unit in itertools.product(SCALES, range(len(leaves[0]))):
            one = [scale * draw.normal(size=leaf.shape).astype(leaf.dtype) for leaf in leaves]
            other = [np.where(np.arange(len(leaf)) == unit, scale * draw.normal(), leaf).astype(leaf.dtype) for leaf in one]
            told = [jax.tree.leaves(tried(*jax.tree.unflatten(structure, each))) for each in (one, other)]
            for before, after in zip(*told, strict=True):
                if not np.array_equal(np.delete(before, unit), np.delete(after, unit), equal_nan=True):
                    return True
    return False


def _is_by_elements(jaxpr: Any, given: set[Any] | None = None) -> bool:
    """Whether everything that a program computes from its arguments (from `given` among them) is elementwise."""
    made = set(jaxpr.invars) if given is None else given
    for eqn in jaxpr.eqns:
        ours = [isinstance(atom, Var) and atom in made for atom in eqn.invars]
        if not any(ours):
            continue
        if (inner := called(eqn)) is not None:
            known = {var for var, is_ours in zip(inner.jaxpr.invars, ours, strict=True) if is_ours}
            by_elements = _is_by_elements(inner.jaxpr, known)
        else:
            by_elements = eqn.primitive.name in BY_ELEMENTS
        if not by_elements:
            return False
        made |= set(eqn.outvars)
    return True
