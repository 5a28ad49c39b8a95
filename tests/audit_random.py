"""Random learning rules put together from sound blocks, and one forbidden operation put among them.

A block keeps a state of its own and adds to the signals that the blocks after it may take: rates, which may pass through
synapses; what units hear, which may not; synapses of the rule's own, each read in one direction; traces; scalars. Whatever is
drawn is drawn when a rule is composed: its update is a fixed program.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from recredit.rule import AbstractRule


@dataclass
class Signals:
    """What the blocks of a rule have computed so far at one step."""

    rates: list = field(default_factory=list)  # each (n,)
    posts: list = field(default_factory=list)  # each (n,), factors of the units' own
    synapses: list = field(default_factory=list)  # each (n, n), read by the units from their senders
    traces: list = field(default_factory=list)  # each (n, m)
    gates: list = field(default_factory=list)  # scalars
    terms: list = field(default_factory=list)  # each (n, m), what the gradient has for certain


@dataclass(frozen=True)
class Block:
    """A part of a rule: the start of its state, and one step of it, which adds to the signals and returns its next state."""

    init: Callable[[Any, jax.Array], Any]
    run: Callable[[Any, Any, Any, jax.Array, Signals], Any]


class Composed(AbstractRule):
    """A rule made of blocks; its gradient is the sum of what they add, by traces and post-synaptic factors."""

    blocks: tuple[Block, ...] = eqx.field(static=True)
    layout: Callable[[list], Any] = eqx.field(static=True)
    ends: tuple[float, ...] = eqx.field(static=True)
    """Which factor each trace goes with, and, the last, which scalar the whole."""

    def init(self, net, key):
        keys = jax.random.split(key, len(self.blocks))
        return self.layout([block.init(net, k) for block, k in zip(self.blocks, keys)])

    def update(self, net, step, state, key):
        kept = list(state.values()) if isinstance(state, dict) else list(state)
        s = Signals(rates=[step.r, step.r_prev], posts=[(step.error @ net.W_out) * net.gain(step.v)])
        keys = jax.random.split(key, len(self.blocks))
        kept = [block.run(net, step, old, k, s) for block, old, k in zip(self.blocks, kept, keys)]
        G = jnp.outer(sum(s.posts), step.r_hat)  # each is used: nothing is dead code
        for end, trace in zip(self.ends, s.traces):
            G = G + taken(s.posts, end)[:, None] * trace
        return sum(s.terms, G) * taken([1.0, *s.gates], self.ends[-1]), self.layout(kept)


LAYOUTS = (tuple, list, lambda kept: {f"part{k}": each for k, each in enumerate(kept)})


def taken(signals, where):
    """One of the signals, by a number in [0, 1) that was drawn when the rule was composed."""
    return signals[int(where * len(signals))]


def drawn(net, key):
    return jax.random.normal(key, (net.n, net.n)) / net.n**0.5


def place(rng):
    """A number in [0, 1): which of the signals to take."""
    return float(rng.random())


def one_of(rng, things):
    return things[rng.integers(len(things))]


# Spellings: each function of a list computes what the others do.

LEAKS = (
    lambda m, x, a: (1 - a) * m + a * x,
    lambda m, x, a: m + a * (x - m),
    lambda m, x, a: (m * (1 - a) / a + x) / (1 / a),
    lambda m, x, a: lax.fori_loop(0, 1, lambda _, held: held - a * (held - x), m),
    lambda m, x, a: lax.cond(jnp.array(True), lambda: m + a * (x - m), lambda: m),
)
READS = (
    lambda S, r: S @ r,
    lambda S, r: jnp.einsum("ij,j->i", S, r),
    lambda S, r: (S * r[None, :]).sum(1),
    lambda S, r: jax.vmap(jnp.dot, (0, None))(S, r),
    lambda S, r: lax.map(lambda row: jnp.vdot(row, r), S),
    lambda S, r: lax.fori_loop(0, r.shape[0], lambda j, u: u + r[j] * S[:, j], jnp.zeros_like(S[:, 0])),
)
ACTIVATIONS = (jnp.tanh, jax.nn.relu, jax.nn.sigmoid, jax.nn.silu, lambda u: u / (1 + jnp.abs(u)), lambda u: u**2 / (1 + u**2))
OUTERS = (
    lambda a, b: jnp.outer(a, b),
    lambda a, b: a[:, None] * b[None, :],
    lambda a, b: jnp.einsum("i,j->ij", a, b),
    lambda a, b: jax.vmap(lambda one: one * b)(a),
)


# Sound blocks.


def leaky_rate(rng):
    """A leaky average of a rate."""
    leak, a, which = one_of(rng, LEAKS), float(rng.uniform(0.05, 0.5)), place(rng)

    def run(net, step, mean, key, s):
        mean = leak(mean, taken(s.rates, which), a)
        s.rates.append(mean)
        return mean

    return Block(lambda net, key: jnp.zeros(net.n), run)


def trace(rng):
    """A leaky trace a synapse, of the immediate influence or of two rates."""
    leak, outer, a, which, hebbian = (
        one_of(rng, LEAKS),
        one_of(rng, OUTERS),
        float(rng.uniform(0.1, 0.5)),
        place(rng),
        place(rng),
    )

    def run(net, step, B, key, s):
        post = taken(s.rates, which) if hebbian < 0.3 else net.gain(step.v)
        B = leak(B, outer(post, step.r_hat), a)
        s.traces.append(B)
        return B

    return Block(lambda net, key: jnp.zeros_like(net.W), run)


def own_decay(rng):
    """A trace that decays by its unit's own autapse (SnAp-1)."""

    def run(net, step, B, key, s):
        own = 1 - net.alpha + net.gain(step.v) * jnp.diagonal(net.W_rec)
        B = 0.5 * own[:, None] * B + net.gain(step.v)[:, None] * step.r_hat
        s.traces.append(B)
        return B

    return Block(lambda net, key: jnp.zeros_like(net.W), run)


def synapses(rng):
    """Synapses between the units, fixed or learning by a delta rule or by Hebb's, and the rates that they make."""
    read, outer, phi, learning = one_of(rng, READS), one_of(rng, OUTERS), one_of(rng, ACTIVATIONS), int(rng.integers(3))
    pre, target = (place(rng), place(rng))

    def run(net, step, S, key, s):
        sent, aim = taken(s.rates, pre), taken(s.rates, target)
        heard = read(S, sent)
        s.synapses.append(S)
        s.posts.append(heard)
        s.rates.append(phi(heard))
        if learning == 1:
            return S + 0.01 * outer(aim - heard, sent)
        return 0.99 * S + 0.01 * outer(aim, sent) if learning == 2 else S

    return Block(drawn, run)


def feedback(rng):
    """Random feedback of the error."""

    def run(net, step, F, key, s):
        s.posts.append((step.error @ F) * net.gain(step.v))
        return F

    return Block(lambda net, key: jax.random.normal(key, (net.n_out, net.n)), run)


def noise(rng):
    """Slow noise of each unit's own, added to a factor of the units'."""
    leak, which = one_of(rng, LEAKS), place(rng)

    def run(net, step, z, key, s):
        z = leak(z, jax.random.normal(key, (net.n,)), 0.2)
        s.posts.append(taken(s.posts, which) + 0.1 * z)
        return z

    return Block(lambda net, key: jnp.zeros(net.n), run)


def threshold(rng):
    """A sliding threshold a unit (BCM)."""
    leak = one_of(rng, LEAKS)

    def run(net, step, theta, key, s):
        s.posts.append(step.r * (step.r - theta))
        return leak(theta, step.r**2, 0.1)

    return Block(lambda net, key: jnp.zeros(net.n), run)


def surprise(rng):
    """How the loss compares with the loss of late: one number for all."""
    leak = one_of(rng, LEAKS)

    def run(net, step, usual, key, s):
        loss = jnp.sum(step.error**2)
        s.gates.append(loss - usual)
        return leak(usual, loss, 0.1)

    return Block(lambda net, key: jnp.zeros(()), run)


SOUND = (leaky_rate, trace, own_decay, synapses, synapses, feedback, noise, threshold, surprise)


def compose(seed, forbidden=None):
    """The rule of a seed; with a forbidden block at a random place, if one is given, the others as without it."""
    rng = np.random.default_rng(seed)
    blocks = [synapses(rng), trace(rng), *(one_of(rng, SOUND)(rng) for _ in range(rng.integers(1, 5)))]
    blocks = [blocks[k] for k in rng.permutation(len(blocks))]
    layout, ends = one_of(rng, LAYOUTS), tuple(place(rng) for _ in range(9))
    if forbidden is not None:
        first = next(k for k, block in enumerate(blocks) if block.init is drawn)  # it may want synapses
        blocks.insert(rng.integers(first + 1, len(blocks) + 1), forbidden(rng))
    return Composed(tuple(blocks), layout, ends)
