"""Runs of a rule at a time step, and how much each entry of its matrices changes in a step.

A value L that the program computes from an array S once a step, at a rate per step that is a number in the program, becomes

    S + f (E L - S) + f^(1/2) (L - E L),   f = alpha / alpha_0,

where E is over the draws of the step: here the mean of two. So a tenth a step becomes a tenth a unit of time, and noise stays
noise. But not where L is no part of the way: an entry that the program, run once more from L, would leave where it is or would
bring back has been replaced (a gate that is 1, a reset, a sign that flips), and is replaced at any time step. A change that is
no larger than gradual ones are is taken for gradual: at a bound, the last part of a way is not followed by a further one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from recredit.audit.measurement.flat_program import FlatProgram, Values
from recredit.audit.measurement.time_scales import TimeScales
from recredit.network import LeakyRNN
from recredit.rule import Step

HOLD = 1.0  # for how long inputs and labels stay constant, in the network's time constants
KEPT = 0.01  # the part of a change that a further step must add for it to be gradual
LARGEST = 1e12  # a norm beyond it has diverged


@dataclass(eq=False)
class Simulation:
    """Runs of one program of a rule, the state's arrays at its inputs from `first` on."""

    program: FlatProgram
    coarse: FlatProgram
    """The program at alpha_0."""
    first: int
    scales: TimeScales
    lifted: set[int]
    """The constants that alpha enters; if nothing else in the program does, `alike`."""
    alike: bool
    matrices: list[int]
    """What is measured, by places in the state."""
    clocks: list[int]
    keys: set[int]
    """Its inputs that are keys."""

    @cached_property
    def run(self) -> Callable[..., Any]:
        """The compiled run; see `_run`."""
        return jax.jit(self._run)

    def _run(
        self, numbers: Values, alpha: Any, f: Any, nets: LeakyRNN, states: list[Any], course: list[Any], held: Any, key: Any,
        times: Any,
    ) -> list[tuple[Any, ...]]:  # fmt: skip
        """Of each matrix: the largest change of each entry and the sum of its squares from times[0] to times[-1], the norm at
        all times but the last, and whether it stayed finite. All over the seeds, which are the first axis.

        `numbers`: the constants that alpha enters. `course`: of the clocks. `held`: inputs and labels, (interval, seed, 2).
        """

        def one(net: LeakyRNN, r: Any, state: list[Any], shown: list[Any], most: list[Any], at: Any, key: Any) -> Any:
            x, y = jnp.stack([at[0], 1 - at[0]]), jnp.stack([at[1], 1 - at[1]])
            r_hat, v, phi = net.step(r, x)
            r_new = r + alpha * (phi - r)
            seen = net, Step(r, r_hat, v, r_new, net.loss_and_error(net.readout(r_new), y)[1], y)
            arguments = [*jax.tree.leaves(seen), *state, key]
            new, new_shown, most = self._step(arguments, numbers, f, most)
            return r_new, new, new_shown, most, [_change(a, b) for a, b in zip(shown, new_shown, strict=True)]

        def round_(t: Any, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            r, state, shown, most, seen = carry
            for leaf, values in zip(self.clocks, course, strict=True):
                state[leaf] = jnp.broadcast_to(values[t], state[leaf].shape)
            at, keys = held[(t * alpha / HOLD).astype(int)], jax.random.split(jax.random.fold_in(key, t), len(r))
            r, state, shown, most, changes = jax.vmap(one)(nets, r, state, shown, most, at, keys)
            late = t >= times[0]
            return r, state, shown, most, [_seen(s, c, a, t, late) for s, c, a in zip(seen, changes, shown, strict=True)]

        def _seen(seen: tuple[Any, ...], change: Any, now: Any, t: Any, late: Any) -> tuple[Any, ...]:
            largest, squares, norms, whole = seen
            now = jnp.abs(now).astype(float)
            norm = jnp.sqrt(jnp.sum(now.reshape(len(now), -1) ** 2, axis=1))
            return (
                jnp.where(late, jnp.maximum(largest, change), largest),
                jnp.where(late, squares + now**2, squares),
                jnp.where(t == times[:-1], norm[:, None], norms),
                whole & (norm <= LARGEST),
            )

        shown, seeds = [states[k] for k in self.matrices], len(held[0])
        zeros = [jnp.zeros(a.shape, float) for a in shown]
        seen = [(z, z, jnp.zeros((seeds, len(times) - 1)), jnp.ones(seeds, bool)) for z in zeros]
        begin = jnp.zeros(nets.W.shape[:2]), states, shown, [jnp.zeros(seeds)] * len(self.scales.points), seen
        return jax.lax.fori_loop(0, times[-1], round_, begin)[-1]

    def _step(self, arguments: list[Any], numbers: Values, f: Any, most: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """The next state, what is shown of the matrices, and the largest gradual changes so far."""
        program, largest = self.program, dict(zip(self.scales.points, most, strict=True))

        def refine(point: int, values: Values, L: Any) -> Any:
            new, largest[point] = self._refined(point, values, L, f, largest[point])
            return new

        written = {point: (lambda values, L, point=point: refine(point, values, L)) for point in self.scales.points}
        values = program.values(arguments, numbers, written)
        new = [values[i] for i in program.outputs]
        shown = {k: new[k] for k in self.matrices}
        held = self.scales.held & shown.keys()
        if held and self.alike:
            changed = {i: self.coarse.constants[i] for i in self.lifted}
            shown |= {k: program.again(program.outputs[k], values, changed, self._cut) for k in held}
        elif held:
            coarse = self.coarse.run(arguments)
            shown |= {k: coarse[k] for k in held}
        return new, list(shown.values()), list(largest.values())

    def _refined(self, point: int, values: Values, L: Any, f: Any, most: Any) -> tuple[Any, Any]:
        """A value of the program at the finer step, and the largest gradual change so far."""
        leaf, values = self.scales.points[point], values | {point: L}
        own, cut = self.program.inputs[self.first + leaf], self._cut - self._points(leaf)
        if len(self._points(leaf)) > 1:  # one may be made of another as it was before that was refined
            L = self.program.again(point, values, {own: values[own]}, cut)
        S, change = values[own], L - values[own].astype(L.dtype)
        further = self.program.again(point, values, {own: L.astype(S.dtype)}, cut) - L
        gradual = further * jnp.sign(change) > KEPT * jnp.abs(change)
        most = jnp.maximum(most, jnp.max(jnp.where(gradual, jnp.abs(change), 0)).astype(float))
        drift, noise = change, 0.0
        if point in self._noisy:
            other = self.program.again(point, values, {i: _other(values[i]) for i in self._draws if i in values}, cut)
            drift, noise = (L + other) / 2 - S, (L - other) / 2**0.5
        fine = (S + f * drift + jnp.sqrt(f) * noise).astype(L.dtype)
        return jnp.where(gradual | (jnp.abs(change) <= most), fine, L), most

    def _points(self, leaf: int) -> set[int]:
        return {point for point, of in self.scales.points.items() if of == leaf}

    @cached_property
    def _cut(self) -> set[int]:
        """Where an array's own way to its next value meets those of other arrays."""
        return {out for out in self.program.outputs if out in self.program.by} | set(self.scales.points)

    @cached_property
    def _draws(self) -> set[int]:
        """The keys of the program, those included that are kept as numbers."""
        return self.keys | {op.outs[0] for op in self.program.ops if op.name == "random_wrap"}

    @cached_property
    def _noisy(self) -> set[int]:
        """The values to be refined of the matrices that are drawn themselves, not made of what has been drawn."""
        return {
            point
            for point, leaf in self.scales.points.items()
            if leaf in self.matrices and point in self.program.after(self._draws, self._cut - self._points(leaf))
        }


def _change(old: Any, new: Any) -> Any:
    """|new - old|, less what rounding makes of it."""
    size = jnp.maximum(jnp.abs(old), jnp.abs(new)).astype(float)
    rounding = jnp.finfo(new.dtype).eps if jnp.issubdtype(new.dtype, jnp.inexact) else 0
    return jnp.maximum(jnp.abs(new.astype(float) - old.astype(float)) - float(rounding) * size, 0)


def _other(keys: Any) -> Any:
    """Other keys than these, as many."""
    flat = keys.reshape(-1)
    return jax.vmap(lambda key: jax.random.fold_in(key, 2**30))(flat).reshape(keys.shape)
