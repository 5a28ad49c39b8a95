"""Building block: types of units, and what a synapse weighs on the average between two of them."""

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
        """`types` equal groups of a network's units, in their order; under Dale's law so many of its excitatory units, and so
        many of its inhibitory ones, or as many as there are of these: further types have no members.

        The means are those of the weights that the network has now.
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
        """For each voltage, the mean weight onto units of each type from each type, times the number of its units."""
        return self.onto @ self.members.T

    def received(self, secreted: Float[Array, " P"]) -> Float[Array, " n"]:
        """What reaches each unit of what all voltages secrete, by the mean weights onto their types from its own."""
        by_type = secreted.reshape(len(self.onto), -1) @ self.members.T
        return jnp.einsum("gc,gcn->n", by_type, self.onto)


def check_fit(rule: str, types: int | None, net: RNN) -> None:
    """Raise ValueError for more cell types of a rule than units."""
    if types is not None and types > net.n:
        raise ValueError(f"{rule}'s {types} cell types need as many units at least, and the network has {net.n}.")
