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
from functools import cache, cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recredit.audit.measurement.flat_program import FlatProgram, Values
from recredit.audit.measurement.time_scales import TimeScales
from recredit.network import RNN
from recredit.rule import Step

HOLD = 1.0  # for how long inputs and labels stay constant, in the network's time constants
PAUSE = 1.0  # for how long the clocks stand still before an event, so that what it copies has moved
SWAY = 0.05  # of each weight: a small sinusoidal modulation in time
KEPT, BACK = 0.01, 0.5  # shares of a change: what a further step adds to a gradual one; what it undoes of a turn
LARGER = 1.25  # a change so many times larger than every gradual one is a jump


@dataclass(eq=False)
class Simulation:
    """Runs of one program of a rule, the state's arrays at its inputs from `first` on."""

    init: FlatProgram
    program: FlatProgram
    """Of `update`, the next state alone."""
    coarse: FlatProgram
    """The same at alpha_0."""
    first: int
    scales: TimeScales
    lifted: set[int]
    """The constants of the program that alpha enters; if nothing else in it does, `alike`."""
    alike: bool
    matrices: list[int]
    """What is measured, by places in the state."""
    clocks: list[int]
    keys: set[int]
    """Its inputs that are keys."""

    @cached_property
    def run(self) -> Callable[..., Any]:
        """The compiled run; see `_run`."""
        return jax.jit(self._run, compiler_options=_quick())

    def _run(
        self, numbers: tuple[Values, Values], alpha: Any, f: Any, nets: RNN, phases: tuple[Any, ...], before: list[Any],
        width: Any, held: Any, key: Any, times: Any,
    ) -> tuple[Any, Any, Any]:  # fmt: skip
        """Of each entry of the matrices (seed, entry): the largest change and the sum of squares from times[0] to times[-1],
        and the values at all times but the last, (time, seed, entry).

        `numbers`: the constants that alpha enters, of `init` and of the program. `phases`: of the weights' sway. `before`: for
        each clock its values at the step before each event; after times[-2] it is held at them in turn, `width` steps apart,
        for PAUSE, and let go. `held`: inputs and labels, (interval, seed, 2).
        """

        def swayed(t: Any) -> RNN:
            weights = zip((nets.W, nets.W_out, nets.b_out), phases, strict=True)
            return jax.vmap(_with)(nets, *(a + SWAY * jnp.sin(t * alpha + phase) for a, phase in weights))

        def start(net: RNN, key: Any) -> tuple[list[Any], Any]:
            state = self.init.run([*jax.tree.leaves(net), key], numbers[0])
            return state, _flat([state[k] for k in self.matrices])

        def one(net: RNN, r: Any, state: list[Any], most: list[Any], at: Any, keys: Any) -> tuple[Any, ...]:
            x, y = jnp.stack([at[0], 1 - at[0]]), jnp.stack([at[1], 1 - at[1]])
            key, noise = keys
            xi = net.noise_of(noise)
            r_hat, v, phi = net.step(r, x, xi)
            r_new = r + alpha * (phi - r)
            loss, error = net.loss_and_error(net.readout(r_new), y)
            seen = net, Step(r, r_hat, v, r_new, error, y, loss=loss, xi=xi, weight=jnp.ones_like(loss))
            new, shown, most = self._step([*jax.tree.leaves(seen), *state, key], numbers[1], f, most)
            return r_new, new, most, _flat(shown)

        def round_(t: Any, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            r, state, most, old, (largest, squares, values) = carry
            event, within = jnp.divmod(t - times[-2] - 1, width)
            for leaf, ticks in zip(self.clocks, before, strict=True):
                if len(ticks):
                    state[leaf] = jnp.where((event >= 0) & (within * alpha < PAUSE), ticks[event], state[leaf])
            interval = (t * alpha / HOLD).astype(int)  # in which inputs, labels and the network's noise stay as they are
            keys = _keys(key, t + 1, len(r)), _keys(key, times[-1] + 1 + interval, len(r))
            at = held[interval]
            r, state, most, now = jax.vmap(one)(swayed(t), r, state, most, at, keys)
            late = (t >= times[0]) & ((event < 0) | (within > 0))  # setting the clocks is no change by the rule
            change = jnp.abs(now - old) - rounding * jnp.maximum(jnp.abs(now), jnp.abs(old))  # rounding is no change
            seen = (
                jnp.where(late, jnp.maximum(largest, change), largest),
                jnp.where(late, squares + now**2, squares),
                jnp.where((t == times[:-1])[:, None, None], now, values),
            )
            return r, state, most, now, seen

        state, shown = jax.vmap(start)(swayed(0), _keys(key, 0, len(nets.W)))
        rounding = np.concatenate([np.full(state[k][0].size, _rounding(state[k].dtype)) for k in self.matrices])
        zeros = jnp.zeros_like(shown)
        seen = zeros, zeros, jnp.zeros((len(times) - 1, *shown.shape))
        begin = jnp.zeros(nets.W.shape[:2]), state, [jnp.zeros(len(shown))] * len(self.scales.points), shown, seen
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
        if len(self._points(leaf)) > 1:  # one may depend on another's value before that was refined
            L = self.program.again(point, values, {own: values[own]}, cut)
        S, change = values[own], L - values[own].astype(L.dtype)
        further = self.program.again(point, values, {own: L.astype(S.dtype)}, cut) - L
        size, further = jnp.abs(change), further * jnp.sign(change)
        most = jnp.maximum(most, jnp.max(jnp.where(further > KEPT * size, size, 0)).astype(float))
        replaced = (size > LARGER * most) & ((jnp.abs(further) <= KEPT * size) | (further < -BACK * size))
        drift, noise = change, 0.0
        if point in self._noisy:
            other = self.program.again(point, values, {i: _other(values[i]) for i in self._draws if i in values}, cut)
            drift, noise = (L + other) / 2 - S, (L - other) / 2**0.5
        fine = (S + f * drift + jnp.sqrt(f) * noise).astype(L.dtype)
        return jnp.where(replaced, L, fine), most

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


def _with(net: RNN, W: Any, W_out: Any, b_out: Any) -> RNN:
    """A network with other weights, as far as its synapses exist and keep their signs."""
    return net.with_weights(net.kept(W), W_out, b_out)


@cache
def _quick() -> dict[str, Any]:
    """Options that compile quickly: a run is so short that to compile it well would take longer."""
    least: dict[str, Any] = {"xla_backend_optimization_level": "0"}
    less = least | {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0, compiler_options=less).lower().compile()
    except jax.errors.JaxRuntimeError:  # a version of XLA that has no such option
        return least
    return less


def _flat(arrays: list[Any]) -> Any:
    return jnp.concatenate([jnp.ravel(a).astype(float) for a in arrays])


def _rounding(dtype: Any) -> float:
    """The spacing of a type's numbers next to 1."""
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.inexact) else 0.0


def _keys(key: Any, t: Any, seeds: int) -> Any:
    """Keys of each run's own at a step: less to compile than those that JAX would split off."""
    words = jax.random.key_data(key)
    each = words ^ jnp.zeros((seeds, len(words)), words.dtype).at[:, 0].set(jnp.uint32(t)).at[:, 1].set(
        np.arange(seeds, dtype="uint32")
    )
    return jax.random.wrap_key_data(each, impl=jax.random.key_impl(key))


def _other(keys: Any) -> Any:
    """Other keys than these, as many."""
    words = jax.random.key_data(keys)
    return jax.random.wrap_key_data(words ^ np.asarray(0x5BD1E995, words.dtype), impl=jax.random.key_impl(keys))
