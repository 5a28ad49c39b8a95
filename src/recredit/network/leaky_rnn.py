"""The paper's network, one layer of leaky units."""

from collections.abc import Sequence
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from recredit.errors import brief, check_count
from recredit.network.activations import Activation
from recredit.network.leaky import Leaky
from recredit.network.rnn import RNN, Head


class LeakyRNN(RNN):
    """The paper's network, one layer of leaky units: r^t = (1 - alpha) r^{t-1} + alpha phi(v^t).

    Source: Marschall et al. 2019, "Plausibility criteria for recurrent learning".
    """

    def __init__(
        self,
        W: Float[Array, "n m"],
        W_out: Float[Array, "n_out n"],
        b_out: Float[Array, " n_out"],
        alpha: float,
        activation: Activation,
        head: Head,
        mask: Bool[Array, "n m"] | None = None,
        signs: Float[Array, " m"] | None = None,
        noise: float = 0.0,
        fan_out: int | None = None,
    ):
        """`alpha`: leak, the fraction of a firing rate that is renewed at each step, in (0, 1]; `activation`: phi, by name."""
        self.W, self.W_out, self.b_out, self.head, self.mask, self.signs = W, W_out, b_out, head, mask, signs
        self.units, self.noise, self.fan_out = Leaky(alpha, activation), noise, fan_out

    @classmethod
    def create(
        cls, sizes: tuple[int, int, int], key: PRNGKeyArray, *, alpha: float, activation: Activation = "tanh", head: Head
    ) -> "LeakyRNN":
        """Draw a network of `sizes` = (n, n_in, n_out) as the published program did.

        W_rec is the orthogonal factor of a Gaussian matrix, W_in ~ N(0, 1/n_in), W_out ~ N(0, 1/n), biases are zero.

        Raises ValueError for a size below 1, an alpha outside (0, 1], an unknown activation or head, or a softmax head with
        one output.
        """
        if not isinstance(sizes, Sequence) or len(sizes) != 3:
            raise ValueError(f"sizes must be three whole numbers (n, n_in, n_out), not {brief(sizes)}.")
        if not isinstance(key, jax.Array) or not (key.shape == () or (key.shape == (2,) and key.dtype == jnp.uint32)):
            raise TypeError(f"the key must be one of JAX's, as jax.random.key(0) makes it, not {brief(key)}.")
        n, n_in, n_out = map(check_count, ("n", "n_in", "n_out"), sizes)
        from recredit.network.settings import Network  # which knows how networks are drawn, and imports this file

        return cast(LeakyRNN, Network(n, alpha, activation).create(n_in, n_out, head, key))

    @property
    def leaky(self) -> Leaky:
        """The units."""
        return cast(Leaky, self.units)

    @property
    def alpha(self) -> float:
        """Leak, the fraction of a firing rate that is renewed at each step, in (0, 1]; the paper's 0.5."""
        return self.leaky.alpha

    @property
    def activation(self) -> Activation:
        """phi, by name; the paper's tanh."""
        return self.leaky.activation

    def slope(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """phi'(v), elementwise (at relu's kink: 0)."""
        return self.leaky.slope(v)

    def leak(self, r_prev: Float[Array, " n"], v: Float[Array, " n"]) -> Float[Array, " n"]:
        """The next rates, (1 - alpha) r_prev + alpha phi(v)."""
        return self.leaky.f((r_prev,), (v,))[0]
