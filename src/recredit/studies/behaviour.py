"""What a rule's gradient depends on, and how near it is to the exact one: measured by running it, on weights that stand still.

One step is changed at a time, and what that does to the gradient is looked at. Its own network is small (SIZES), leaky, with
the paper's alpha of 0.5; numbers have 64 bits. Nothing asks for a rule's name.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from recredit.contract import random_key
from recredit.network import RNN, Network
from recredit.rule import AbstractRule, Step

SIZES = 3, 2, 2  # n, n_in, n_out
LEAST = 24  # steps; of a rule with a window, two windows at least
NOISE = 0.3  # of the voltages, for a rule that learns from it
COUNTS = 0.05  # of the largest effect: what changes the gradient less is a running mean's, or a slow learner's
EXACT = 1e-9  # of the exact gradient's norm
SURE, RESOLVED = 4.0, 0.1  # standard errors, and of the exact gradient's norm the bias that would be seen
BATCH, MOST = 4096, 65_536  # draws

Facing = Literal["none", "one step", "past-facing", "future-facing", "mixed"]


@dataclass(frozen=True)
class Dependence:
    """What the gradient of a step depends on, counted in steps from that step: -1 is the one before."""

    losses: tuple[int, ...]
    """Whose losses and errors."""
    activity: tuple[int, ...]
    """Whose presynaptic signals r_hat, which W read."""
    draws: bool
    """Whether it depends on what the rule draws."""

    @property
    def facing(self) -> Facing:
        """One loss and the activity before it: past-facing. One step's activity, and the losses after it or what was learned of
        earlier ones: future-facing."""
        if not self.losses or not self.activity:
            return "none"
        if self.losses == self.activity == (0,):
            return "one step"
        if self.losses == (0,):
            return "past-facing"
        return "future-facing" if self.activity == (0,) else "mixed"


@dataclass(frozen=True)
class Bias:
    """The sum of a run's gradients beside the exact one, of the same weights and of all losses; the mean over draws where there
    is randomness."""

    verdict: Literal["exact", "exact in sum", "unbiased", "biased", "not resolved"]
    """Exact at each step, or in sum alone; of a mean over draws unbiased, if a bias of RESOLVED would have been seen."""
    cosine: float | None
    """Of the sum with the exact one; None: it is 0, or not told from 0."""
    draws: int
    """Over how many draws; 1 without randomness."""


def dependence(rule: AbstractRule) -> Dependence:
    """What the gradient that a rule tells for a step depends on. Raises ValueError for a rule that is not for leaky units."""
    with jax.enable_x64(True):
        T = _length(rule)
        net, steps, _, _ = _problem(rule.needs_noise, T)
        rule.check_network(net)
        changed = np.asarray(_changed(rule, net, steps))
    effects = np.abs(changed[1:] - changed[0]).reshape(2 * T + 1, -1).max(1)
    told_for = T - 1 - rule.delay

    def steps_of(effects: Any) -> tuple[int, ...]:
        return tuple(int(t) - told_for for t in np.flatnonzero(effects > max(COUNTS * effects.max(), 1e-14)))

    return Dependence(steps_of(effects[:T]), steps_of(effects[T : 2 * T]), bool(effects[2 * T] > 0))


def bias(rule: AbstractRule, is_random: bool) -> Bias:
    """A rule's gradients beside the exact ones; `is_random`: whether their mean over draws is meant.

    Raises ValueError as `dependence` does.
    """
    with jax.enable_x64(True):
        T, total, draws, batch = _length(rule), None, 0, BATCH if is_random else 1
        while True:
            found = jax.tree.map(lambda sums: np.asarray(sums, float), _batch(rule, T, batch, draws))
            total, draws = jax.tree.map(np.add, total, found) if total else found, draws + batch
            exact, told, off, squares, by_step = total
            size, spread = _square(exact / draws), squares / draws - _square(off / draws)
            noise = spread / (draws - 1) if is_random else 0.0  # the squared error of a mean
            seen = SURE * math.sqrt(2) * noise  # the least squared bias that is one for sure
            if not is_random or seen < RESOLVED**2 * size or draws >= MOST:
                break
    known = _square(told / draws) > seen
    cosine = float(np.vdot(told, exact) / math.sqrt(_square(told) * _square(exact))) if known else None
    if not is_random and by_step.min() < EXACT * math.sqrt(size):
        return Bias("exact", cosine, 1)
    if not is_random and _square(off) < EXACT**2 * size:
        return Bias("exact in sum", cosine, 1)
    if _square(off / draws) - noise > seen:
        return Bias("biased", cosine, draws)
    return Bias("unbiased" if seen < RESOLVED**2 * size else "not resolved", cosine, draws)


def gradients(rule: AbstractRule) -> Float[np.ndarray, "T P m"]:
    """What a rule tells at each step of one run, the same for all rules. Raises ValueError as `dependence` does."""
    with jax.enable_x64(True):
        net, steps, _, _ = _problem(rule.needs_noise, LEAST)
        rule.check_network(net)
        return np.asarray(_gradients(rule, net, steps))


@partial(jax.jit, static_argnums=0)
def _gradients(rule: AbstractRule, net: RNN, steps: Step) -> Float[Array, "T P m"]:
    return _scanned(rule, net, jax.tree.map(lambda a: a[0], steps), random_key(4), jax.random.split(random_key(5), LEAST))


def _scanned(rule: AbstractRule, net: RNN, steps: Step, k_init: Any, keys: Any) -> Float[Array, "T P m"]:
    """Each step's gradient."""

    def body(state, now):
        G, state = rule.update(net, now[0], state, now[1])
        return state, G

    return jax.lax.scan(body, rule.init(net, k_init), (steps, keys))[1]


def _batch(rule: AbstractRule, T: int, draws: int, first: int) -> Any:
    """`_compared` for so many draws, from the `first` on; they share the steps unless the network is noisy."""
    net, steps, future, past = _problem(rule.needs_noise, T, draws if rule.needs_noise else 1, first)
    rule.check_network(net)
    return _compared(rule, net, steps, future, past, jax.random.split(jax.random.fold_in(random_key(3), first), draws))


def _square(a: Any) -> float:
    return float(np.vdot(a, a))


def _length(rule: AbstractRule) -> int:
    """Steps of a run, at whose last one a gradient is told: twice as many as what is kept can be of."""
    net = jax.eval_shape(partial(_network, rule.needs_noise))
    kept = [size for leaf in jax.tree.leaves(jax.eval_shape(rule.init, net, random_key(0))) for size in leaf.shape]
    return rule.period * math.ceil(max([LEAST, 2 * (rule.delay + rule.period), *(2 * size for size in kept)]) / rule.period)


def _network(noisy: bool) -> RNN:
    n, n_in, n_out = SIZES
    k_net, k_W, k_out = jax.random.split(random_key(0), 3)
    net = Network(n, noise=NOISE if noisy else 0.0).create(n_in, n_out, "softmax", k_net)
    W, b_out = net.W + 0.2 * jax.random.normal(k_W, net.W.shape), 0.1 * jax.random.normal(k_out, (n_out,))
    return net.with_weights(W, net.W_out, b_out)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _problem(noisy: bool, T: int, draws: int = 1, first: Any = 0) -> tuple[RNN, Step, Any, Any]:
    """A network; the steps of a run, for each of the draws of its noise; and the exact gradients at each step, the
    future-facing, and unless it is noisy the past-facing ones. Data are the same whatever the noise."""
    net, (n, n_in, n_out) = _network(noisy), SIZES
    k_r, k_x, k_y = jax.random.split(random_key(1), 3)
    r, y = 0.4 * jax.random.normal(k_r, (n,)), jax.nn.softmax(2 * jax.random.normal(k_y, (T, n_out)))
    x = jax.random.normal(k_x, (T, n_in))

    def run(W, keys):
        def body(s, now):
            W, x, y, key = now
            step = Step.of(net.with_weights(W, net.W_out, net.b_out), s, x, y, net.noise_of(key))
            return step.state, (step, cast(Array, step.loss))

        return jax.lax.scan(body, r, (jnp.broadcast_to(W, (T, *net.W.shape)), x, y, keys))[1]

    def one(key):
        keys, W = jax.random.split(key, T), jnp.broadcast_to(net.W, (T, *net.W.shape))
        past = None if noisy else jax.jacrev(lambda W: run(W, keys)[1])(net.W)
        return run(W, keys)[0], jax.grad(lambda W: run(W, keys)[1].sum())(W), past

    return net, *jax.vmap(one)(jax.random.split(jax.random.fold_in(random_key(2), first), draws))


@partial(jax.jit, static_argnums=0)
def _changed(rule: AbstractRule, net: RNN, steps: Step) -> Float[Array, "changes P m"]:
    """The last gradient: as it is; with each step's loss changed, then each step's signals; and with other draws."""
    steps = jax.tree.map(lambda a: a[0], steps)
    T, state = len(steps.error), rule.init(net, random_key(4))

    def last(weight, signal, key):
        def body(state, now):
            step, weight, signal, key = now
            G, state = rule.update(net, replace(step.weighted(weight), r_hat=signal * step.r_hat), state, key)
            return state, G

        return jax.lax.scan(body, state, (steps, weight, signal, jax.random.split(key, T)))[1][-1]

    one, t = jnp.ones((2 * T + 2, T)), jnp.arange(T)
    draws = jax.vmap(random_key)(jnp.array([5] * (2 * T + 1) + [6]))
    return jax.vmap(last)(one.at[t + 1, t].set(1.5), one.at[t + T + 1, t].set(1.5), draws)


@partial(jax.jit, static_argnums=0)
def _compared(rule: AbstractRule, net: RNN, steps: Step, future: Any, past: Any, keys: Key[Array, " draws"]) -> Any:
    """Sums over draws: the exact sum over steps, the told one, their difference, its square; and how far at most a gradient is
    from the exact past-facing one of its step, and from the future-facing one."""
    T = future.shape[1]
    known = T - rule.delay  # steps for which a gradient is told

    def one(steps, future, past, key):
        k_init, k_update = jax.random.split(key)
        G = _scanned(rule, net, steps, k_init, jax.random.split(k_update, T))
        exact, told = future[:known].sum(0), G.sum(0)
        by_step = [abs(G - (future if past is None else past)).max(), abs(G[rule.delay :] - future[:known]).max()]
        return exact, told, told - exact, ((told - exact) ** 2).sum(), jnp.stack(by_step)

    each = 0 if len(future) > 1 else None
    if each is None:
        steps, future, past = jax.tree.map(lambda a: a[0], (steps, future, past))
    found = jax.vmap(one, (each, each, each, 0))(steps, future, past, keys)
    return jax.tree.map(lambda sums: sums.sum(0), found)
