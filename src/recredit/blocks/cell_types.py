"""Building block: types of units, and the mean synaptic weight between two of them."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from recredit.network import RNN


class CellTypes(eqx.Module):
    """Which type each unit is of, and the mean weights between types, where missing synapses count as 0."""

    members: Float[Array, "C n"]
    """1 where a unit is of a type."""
    onto: Float[Array, "G C n"]
    """For each voltage, the mean weight onto units of each type from those of each unit's type."""

    @classmethod
    def of(cls, net: RNN, types: int) -> "CellTypes":
        """`types` equal groups of a network's units, in their order; under Dale's law, this many of its excitatory units and
        this many of its inhibitory ones. If there are fewer units of a sign than types, the other types have no members.

        The means are those of the network's current weights.
        """
        n, count = net.n, types
        kind = jnp.arange(n) * types // n
        if net.signs is not None:
            same = net.signs[:n, None] == net.signs[None, :n]  # units of the same sign
            kind, count = jnp.tril(same, -1).sum(1) * types // same.sum(1) + types * (net.signs[:n] < 0), 2 * types
        members = (kind[None] == jnp.arange(count)[:, None]).astype(net.W.dtype)
        size = jnp.maximum(members.sum(1), 1)
        mean = members @ net.W_rec.reshape(-1, n, n) @ members.T / jnp.outer(size, size)[None]
        return cls(members, mean @ members)

    def between(self) -> Float[Array, "G C C"]:
        """For each voltage, the mean weight onto units of each type from each type, times the number of units of the latter."""
        return self.onto @ self.members.T

    def received(self, secreted: Float[Array, " P"]) -> Float[Array, " n"]:
        """What each unit receives of what all voltages secrete, by the mean weights from its own type onto theirs."""
        by_type = secreted.reshape(len(self.onto), -1) @ self.members.T
        return jnp.einsum("gc,gcn->n", by_type, self.onto)


def check_fit(rule: str, types: int | None, net: RNN) -> None:
    """Raise ValueError if a rule has more cell types than the network has units."""
    if types is not None and types > net.n:
        raise ValueError(f"{rule}'s {types} cell types need at least as many units, and the network has {net.n}.")
