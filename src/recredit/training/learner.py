"""Everything that a run carries from step to step."""

import math
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PRNGKeyArray

from recredit.network import RNN
from recredit.rule import State
from recredit.training.comparison import Waiting
from recredit.training.optimizer import Memory

NETWORK = 2**30  # stands for the network among the rules, of which there are fewer


class Learner(eqx.Module):
    """Everything that one run carries from step to step: what a checkpoint must hold.

    Its keys are JAX's typed ones, which `equinox.tree_serialise_leaves` cannot write: write `jax.random.key_data` of them, and
    make keys of what is read by `jax.random.wrap_key_data(data, impl="threefry2x32")`.

    With more than one stream, rates, learning states (but no Clock), the task's state and the key have a first axis for them.
    """

    net: RNN
    """Its weights as they are now."""
    s: Float[Array, "*streams N"]
    """The units' state; of leaky units their firing rates."""
    optimizer: tuple[Memory, ...]
    """What the optimiser carries."""
    states: tuple[State, ...]
    """The learning states, of the driving rule first, then of each observer."""
    stream: Any
    """The task's state."""
    key: Key[Array, "*streams"]
    """The rules' own randomness."""
    waiting: Waiting | None = None
    """What is kept of gradients to compare them with later ones; None: nothing is compared."""
    owed: tuple[Float[Array, "... P m"] | None, ...] = ()
    """For each rule with a gradient once a period, what it owes trials that ended since the last one. (): there are no
    trials."""


def rule_key(key: PRNGKeyArray, index: int, t: Any) -> PRNGKeyArray:
    """The key of a run's `index`-th rule (0 drives) for its start (t = 0) or its t-th step: rules do not disturb each
    other's."""
    return jax.random.fold_in(jax.random.fold_in(key, index), t)


def noise(net: RNN, key: PRNGKeyArray, t: Any) -> Float[Array, " P"] | None:
    """The network's noise at a run's t-th step, the same whatever the rules; None: it has none."""
    return net.noise_of(rule_key(key, NETWORK, t + 1)) if net.noise else None


def bytes_of(tree: Any) -> int:
    """Bytes of all arrays, or shapes of arrays, in a tree."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def weights(net: RNN) -> dict[str, Array]:
    """The trainable arrays of a network."""
    return {"W": net.W, "W_out": net.W_out, "b_out": net.b_out}
