"""Does each matrix of a rule's state change continuously in time? Measured, by running the rule at ever finer time steps.

Inputs and labels stay constant over intervals of fixed physical duration. The weights vary slowly around their values, so that
what follows them smoothly is smooth, and what copies them now and then jumps. Over all entries S_ij and steps,

    d = max |S_ij^t - S_ij^{t-1}| / scale_ij ~ alpha^slope:   1 smooth, 1/2 diffusive, 0 jumps.

An entry's scale is its own root mean square while it is measured, so that its jumps count however large other entries are; but
it is at least FLOOR of the matrix's, since an entry that hovers around zero has no scale of its own.

"All learning rates in proportion to alpha" is read off the rule's program (`time_scales`, `simulation`).
"""

import math
import time
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from recredit.audit.measurement.clocks import AFTER, clocks, schedule, told_by
from recredit.audit.measurement.flat_program import FlatProgram, that_differ
from recredit.audit.measurement.simulation import HOLD, PAUSE, Simulation
from recredit.audit.measurement.time_scales import time_scales
from recredit.audit.program.audited import Audited
from recredit.contract import example_step
from recredit.network import RNN
from recredit.network.synapses import dale
from recredit.rule import AbstractRule

ALPHAS = (0.25, 0.0625, 0.015625, 0.00390625)
N, N_IN, N_OUT = 6, 2, 2
RADIUS = 0.9  # the spectral radius of W_rec
BURN_IN, DURATION = 10.0, 10.0  # in the network's time constants
SEEDS = 8
FLOOR = 0.1  # of the matrix's root mean square: the least scale of an entry
LARGEST = 1e12  # an entry beyond it has diverged
GROWTH = 2  # by which a matrix's norm grows in each half of the measurement if it grows without bound
OPERATIONS, SECONDS = 4000, 10  # the longest program that is compiled, the longest run


class NotMeasuredError(ValueError):
    """The rule's program is beyond what is measured; a clause that says why."""


def slopes(
    rule: AbstractRule, matrices: Collection[str], key: PRNGKeyArray, audited: Audited | None = None
) -> dict[str, dict[str, list[float]]]:
    """The largest relative change per step of each of these arrays of the rule's state: at each "alpha" the "max" of all runs,
    and the geometric "mean" over runs; nan where it diverges.

    `matrices`: their paths in the state, as "inner.0.B"; "state" for a state that is one array. `audited`: the network, of
    leaky units; None: the paper's. Deterministic for a key, and
    in 64 bits whatever the session's. Raises NotMeasuredError if the rule's program is too long, or a matrix holds complex
    numbers.
    """
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        return _Measurement(rule, matrices, int(jax.random.bits(key, dtype="uint32")), audited or Audited()).curves()


def slope(curve: dict[str, list[float]]) -> float:
    """The slope over log alpha of log "max", or of log "mean" at the two finest steps, whichever is less.

    A jump in one run shows in the first, a small one in all runs in the second. nan where the matrix diverges, infinite where
    it does not change at fine steps.
    """
    if np.isnan(curve["max"]).any():
        return float("nan")
    return min(_fitted(curve["alpha"], curve["max"]), _fitted(curve["alpha"][-2:], curve["mean"][-2:]))


def _fitted(alpha: list[float], d: list[float]) -> float:
    """The slope of log d over log alpha, where d is not 0."""
    changes = [k for k, each in enumerate(d) if each > 0]
    if len(changes) < 2:
        return 0.0 if d[-1] > 0 else math.inf
    return float(np.polyfit(np.log(np.take(alpha, changes)), np.log(np.take(d, changes)), 1)[0])


class _Measurement:
    """A rule's programs at each alpha, and what is run of them."""

    def __init__(self, rule: AbstractRule, matrices: Collection[str], seed: int, audited: Audited):
        self.key, self.rng = jax.random.key(seed, impl="unsafe_rbg"), np.random.default_rng(seed)  # it compiles fast
        self.rule, self.audited = rule, audited
        state = jax.tree.leaves_with_path(jax.eval_shape(rule.init, self.network(1.0), self.key))
        names = [jax.tree_util.keystr(path, simple=True, separator=".") or "state" for path, _ in state]
        self.matrices = {leaf: name for leaf, name in enumerate(names) if name in matrices and not _is_key(state[leaf][1])}

    def curves(self) -> dict[str, dict[str, list[float]]]:
        """What `slopes` returns."""
        if not self.matrices:
            return {}
        self.trace()
        if not self.changing():
            return {
                name: {"alpha": list(ALPHAS)} | dict.fromkeys(("max", "mean"), [0.0] * len(ALPHAS))
                for name in self.matrices.values()
            }
        self.draw()
        found = []
        for k, alpha in enumerate(ALPHAS):
            began = time.monotonic()
            found.append(self.run(k))
            for at, leaf in enumerate(self.matrices):
                if k and not found[k][at].any() and not self.rounded(leaf):  # it moves in steps whatever the resolution in time
                    found[k][at] = found[k - 1][at]
            if 0 < k < len(ALPHAS) - 1 and (time.monotonic() - began) * alpha / ALPHAS[-1] > SECONDS:
                raise NotMeasuredError(f"a run would take more than {SECONDS} seconds")
        return {
            name: {
                "alpha": list(ALPHAS),
                "max": [float(changes[at].max()) for changes in found],
                "mean": [_geometric_mean(changes[at]) for changes in found],
            }
            for at, name in enumerate(self.matrices.values())
        }

    def network(self, alpha: float) -> RNN:
        """The shapes of the network at a time step."""
        units = replace(self.audited.units, alpha=alpha)
        return jax.eval_shape(lambda: self.audited.draw((N, N_IN, N_OUT), jax.random.key(0), units))

    def changing(self) -> bool:
        """Whether the program computes any of the matrices, and does not only hand them on."""
        first, program = self.simulations[0].first, self.simulations[0].program
        return any(program.outputs[leaf] != program.inputs[first + leaf] for leaf in self.matrices)

    def rounded(self, leaf: int) -> bool:
        """Whether an array has so few digits that what it changes by in a short time may be none."""
        dtype = self.state[leaf].dtype
        return jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32

    def trace(self) -> None:
        """Trace the rule at each alpha, and see where time stands in its program."""
        nets = [self.network(alpha) for alpha in ALPHAS]
        states = [jax.eval_shape(self.rule.init, net, self.key) for net in nets]
        self.state = jax.tree.leaves(states[0])
        if any(jnp.iscomplexobj(self.state[leaf]) for leaf in self.matrices):
            raise NotMeasuredError("they hold complex numbers")
        inits = [FlatProgram.trace(self.rule.init, net, self.key) for net in nets]
        updates = []
        for net, state in zip(nets, states, strict=True):
            updates.append(FlatProgram.trace(lambda *a: self.rule.update(*a)[1], net, example_step(net), state, self.key))
            if (count := len(updates[-1].ops)) > OPERATIONS:
                raise NotMeasuredError(f"an update has {count} operations, more than the {OPERATIONS} that are examined")
        coarse = updates[0]
        (begun, unlike_begun), (lifted, unlike) = that_differ(inits), that_differ(updates)
        first = len(coarse.inputs) - len(self.state) - 1
        keys = {i for i, a in zip(coarse.inputs[first:], [*self.state, self.key], strict=True) if _is_key(a)}
        watches = clocks(coarse, first, self.state)
        floating = [k for k, a in enumerate(self.state) if jnp.issubdtype(a.dtype, jnp.floating) and k not in watches]
        scales = time_scales(coarse, lifted | unlike, first, floating)
        self.simulations = [
            Simulation(init, update, coarse, first, scales, lifted, not unlike, list(self.matrices), watches, keys)
            for init, update in zip(inits, updates, strict=True)
        ]
        if not unlike and not unlike_begun:
            self.simulations = self.simulations[:1] * len(ALPHAS)
        self.numbers = [
            ({i: init.constants[i] for i in begun}, {i: update.constants[i] for i in lifted})
            for init, update in zip(inits, updates, strict=True)
        ]

    def draw(self) -> None:
        """Draw the networks, their inputs and labels, and the course of the clocks."""
        Q = np.linalg.qr(self.rng.normal(size=(SEEDS, N, N)))[0]
        W = np.concatenate([RADIUS * Q, self.rng.normal(size=(SEEDS, N, N_IN)) / N_IN**0.5, np.zeros((SEEDS, N, 1))], axis=2)
        W_out = self.rng.normal(size=(SEEDS, N_OUT, N)) / N**0.5
        arrays, nets = (W, W_out, np.zeros((SEEDS, N_OUT))), self.network(1.0)  # with alpha 1 a step gives phi(v)
        self.phases = tuple(self.rng.uniform(0, 2 * np.pi, a.shape) for a in arrays)
        mask = None if nets.mask is None else np.random.default_rng(0).random(W.shape) < 0.5
        signs = None if nets.signs is None else np.tile(dale(0.5, N, N_IN), (SEEDS, 1))
        self.nets = jax.tree.unflatten(jax.tree.structure(nets), [a for a in (*arrays, mask, signs) if a is not None])
        natural = [round((BURN_IN + DURATION) / alpha) for alpha in ALPHAS]
        simulation, net = self.simulations[0], [a[0] for a in jax.tree.leaves(self.nets)]

        def start(key: PRNGKeyArray) -> list[Any]:
            state = simulation.init.run([*net, key])
            return [state[k] for k in simulation.clocks]

        course, events = schedule(
            simulation.program, simulation.first, simulation.clocks, partial(start, self.key), round(BURN_IN / ALPHAS[0])
        )
        self.before = [ticks[events - 1] for ticks in course]
        in_time = told_by(simulation.program, simulation.clocks, simulation.lifted)  # rather than in steps
        self.widths = [round(PAUSE / alpha) + AFTER * (round(ALPHAS[0] / alpha) if in_time else 1) for alpha in ALPHAS]
        self.steps = [n + len(events) * width for n, width in zip(natural, self.widths, strict=True)]
        held = self.rng.uniform(size=(round(max(a * n for a, n in zip(ALPHAS, self.steps, strict=True)) / HOLD) + 1, SEEDS, 2))
        self.held = np.where([True, False], held > 0.5, 0.2 + 0.6 * held)  # inputs 0 or 1, labels between 0.2 and 0.8

    def run(self, k: int) -> list[np.ndarray]:
        """The largest relative changes per step at one alpha, of each matrix in each run."""
        alpha, steps = ALPHAS[k], self.steps[k]
        times = [round((BURN_IN + part * DURATION) / alpha) - (part > 0) for part in (0, 0.5, 1)]
        found = self.simulations[k].run(
            self.numbers[k], alpha, alpha / ALPHAS[0], self.nets, self.phases, self.before, self.widths[k], self.held, self.key,
            np.array([*times, steps]),
        )  # fmt: skip
        largest, squares, values = map(np.asarray, found)
        own = np.sqrt(squares / (steps - times[0]))
        ends = np.cumsum([self.state[leaf].size for leaf in self.matrices])[:-1]
        return [_relative(*each) for each in zip(*(np.split(a, ends, axis=-1) for a in (largest, own, values)), strict=True)]


def _is_key(a: Any) -> bool:
    return jnp.issubdtype(a.dtype, jax.dtypes.prng_key)


def _relative(largest: np.ndarray, own: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The largest change relative to its entry's scale in each run (seed, entry); nan where the matrix diverges.

    `own`: the entries' scales. `values`: at three times, (time, seed, entry).
    """
    early, middle, late = np.linalg.norm(values, axis=2)
    grows = (early > 0) & (middle > GROWTH * early) & (late > GROWTH * middle)
    if not (own < LARGEST).all() or grows.mean() > 0.5:
        return np.full(len(own), np.nan)
    scale = np.maximum(own, FLOOR * np.sqrt(np.mean(own**2, axis=1, keepdims=True)))
    return np.max(np.divide(largest, scale, out=np.zeros_like(largest), where=scale > 0), axis=1)


def _geometric_mean(d: np.ndarray) -> float:
    """Over the runs with a change."""
    return float(np.exp(np.log(d[d > 0]).mean())) if (d > 0).any() else float(d[0])
