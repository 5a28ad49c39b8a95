"""The clocks of a rule's state, and the rare events that they announce: a reset at every 2,000th step is in the program.

A clock is a count, a phase or a flag whose next value is computed from clocks and numbers alone. So it can be run by itself,
a thousand times as fast as the rule, to find the steps at which something that is computed from clocks changes, though at
most steps it does not: a condition, an index, a remainder. The measurement sets all clocks to the step before, holds them there
for a while (between two events a clock makes so many steps, in whose time all else has moved), and lets them go.

An event whose condition is on data, a spike or a norm beyond a bound, is met only if it occurs while the rule is measured.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recredit.audit.measurement.flat_program import FlatProgram

STEPS = 100_000  # looked ahead
RARE = 0.1  # what changes one way at more than this share of steps is part of every step
AFTER = 9  # steps measured, beginning with the one before an event
MOST = 12  # events that are followed
LONGEST = 1000  # entries of an array that is watched for events


def clocks(program: FlatProgram, first: int, state: list[Any]) -> list[int]:
    """The clocks among the arrays of the state, by their places in it; `first`: the place of the first among the inputs."""
    found = {k for k, a in enumerate(state) if _countable(a)}
    still = {k for k in found if program.outputs[k] == program.inputs[first + k]}  # parameters of clocks
    while True:
        known = _known(program, {program.inputs[first + k] for k in found})
        kept = {k for k in found if program.outputs[k] in known}
        if kept == found:
            return sorted(found) if found - still else []
        found = kept


def _countable(a: Any) -> bool:
    whole = jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == bool
    return (whole and a.ndim <= 1) or (jnp.issubdtype(a.dtype, jnp.floating) and a.ndim == 0)


def _known(program: FlatProgram, inputs: set[int]) -> set[int]:
    """The values that are computed from these inputs and constants alone, without draws."""
    known = inputs | set(program.constants)
    for op in program.ops:
        drawn = op.name.startswith(("random", "threefry", "rng")) or any(
            jnp.issubdtype(program.avals[out].dtype, jax.dtypes.prng_key) for out in op.outs
        )
        if known.issuperset(op.ins) and not drawn:
            known.update(op.outs)
    return known


def told_by(program: FlatProgram, leaves: list[int], values: set[int]) -> bool:
    """Whether clocks are computed from some of these values."""
    return not values.isdisjoint(set().union(*(program.before(program.outputs[k]) for k in leaves)))


def schedule(
    program: FlatProgram, first: int, leaves: list[int], start: Callable[[], list[Any]], late: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """The values of the clocks (by their places in the state) at each of many steps, and the steps at which events happen.

    `start`: their first values. Events before `late` belong to how a rule begins.
    """
    if not leaves:
        return [], np.zeros(0, int)
    inputs = [program.inputs[first + k] for k in leaves]
    known = _known(program, set(inputs))
    moving = program.after(inputs)
    ops = [op for op in program.ops if known.issuperset(op.outs)]
    watched = {out: program.avals[out] for op in ops for out in op.outs if out in moving and program.avals[out].size <= LONGEST}

    def tick(carry: tuple[list[Any], list[Any]], _: Any) -> tuple[Any, Any]:
        now, last = carry
        values = {**program.constants, **dict(zip(inputs, now, strict=True))}
        for op in ops:
            values |= dict(zip(op.outs, op.of([values[i] for i in op.ins]), strict=True))
        seen = [values[i] for i in watched]
        changed = jnp.array([jnp.any(way) for a, b in zip(seen, last, strict=True) for way in (a > b, a < b)], bool)
        return ([values[program.outputs[k]] for k in leaves], seen), (now, changed)

    @jax.jit
    def run() -> Any:
        begin = start(), [jnp.zeros(a.shape, a.dtype) for a in watched.values()]
        return jax.lax.scan(tick, begin, length=STEPS)[1]

    values, changed = run()
    return [np.asarray(v) for v in values], events(np.asarray(changed), late)


def events(changed: np.ndarray, begin: int) -> np.ndarray:
    """The steps at which something (steps, things) changes that rarely does: of each thing the first, of the rarest things."""
    late = changed[begin:]
    often = late.mean(axis=0)
    rare = [k for k in np.argsort(often, kind="stable") if 0 < often[k] <= RARE]
    steps = dict.fromkeys(int(np.argmax(late[:, k])) + begin for k in rare)
    return np.array(sorted([*steps][:MOST]), int)
