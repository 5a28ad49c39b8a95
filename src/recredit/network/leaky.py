"""The network that learns: one leaky recurrent layer and a linear read-out.

Marschall, Cho & Savin 2019, p. 1-2. With n units, n_in inputs, n_out outputs and m = n + n_in + 1,

    r_hat^t = [r^{t-1}; x^t; 1]                        (m,)
    v^t     = W r_hat^t,   W = [W_rec | W_in | b_rec]   (n,)
    r^t     = (1 - alpha) r^{t-1} + alpha phi(v^t)      (n,)
    z^t     = W_out r^t + b_out                        (n_out,)
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from recredit.errors import brief, check_count, check_fields, check_range

Activation = Literal["tanh", "relu", "sigmoid", "identity"]
Head = Literal["softmax", "linear"]

_PHI = {"tanh": jnp.tanh, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "identity": lambda v: v}


_ALPHA = partial(check_range, "alpha", above=0, most=1)


class LeakyRNN(eqx.Module):
    """A leaky recurrent network with trainable weights `W`, `W_out`, `b_out`.

    `head` fixes the loss: "softmax" with cross-entropy (two outputs or more), or "linear" with half the summed squared error.

    Source: Marschall et al. 2019, "Plausibility criteria for recurrent learning".
    """

    W: Float[Array, "n m"]
    """[W_rec | W_in | b_rec], the weights that a rule learns."""
    W_out: Float[Array, "n_out n"]
    """Read-out weights, learned by the delta rule."""
    b_out: Float[Array, " n_out"]
    """Biases of the read-out, learned by the delta rule."""
    alpha: float = eqx.field(static=True, converter=_ALPHA)
    """Leak, the part of a firing rate that is renewed each step, in (0, 1]; the paper's 0.5."""
    activation: Activation = eqx.field(static=True)
    """phi, by name; the paper's tanh."""
    head: Head = eqx.field(static=True)
    """The loss: "softmax" (cross-entropy) or "linear" (half the summed squared error)."""

    def __check_init__(self):
        check_fields(self)
        shapes: list[tuple[int, ...]] = [getattr(array, "shape", ()) for array in (self.W, self.W_out, self.b_out)]
        W, W_out, b_out = shapes
        if [*map(len, shapes)] != [2, 2, 1] or W[1] < W[0] + 2 or W_out != (*b_out, W[0]):
            raise ValueError(
                f"the network's sizes disagree: W is {W}, W_out {W_out}, b_out {b_out}; "
                "they must be arrays (n, n + n_in + 1), (n_out, n) and (n_out,)."
            )
        if self.head == "softmax" and b_out == (1,):
            raise ValueError(
                "a softmax head with one output has the loss 0 for every network and label; "
                'take two outputs, with labels (y, 1 - y), or the head "linear".'
            )

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
        k_rec, k_in, k_out = jax.random.split(key, 3)
        W_rec = jnp.linalg.qr(jax.random.normal(k_rec, (n, n)))[0]
        W_in = jax.random.normal(k_in, (n, n_in)) / jnp.sqrt(n_in)
        W_out = jax.random.normal(k_out, (n_out, n)) / jnp.sqrt(n)
        W = jnp.concatenate([W_rec, W_in, jnp.zeros((n, 1))], axis=1)
        return cls(W, W_out, jnp.zeros(n_out), alpha, activation, head)

    @property
    def n(self) -> int:
        """Number of recurrent units."""
        return self.W.shape[0]

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.W.shape[1] - self.n - 1

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.W_out.shape[0]

    @property
    def W_rec(self) -> Float[Array, "n n"]:
        """The recurrent weights, the first n columns of W."""
        return self.W[:, : self.n]

    def phi(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate of a voltage, elementwise."""
        return _PHI[self.activation](v)

    def slope(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """D = phi'(v), elementwise (at relu's kink: 0)."""
        if self.activation == "tanh":
            return 1 - jnp.tanh(v) ** 2
        if self.activation == "sigmoid":
            return jax.nn.sigmoid(v) * (1 - jax.nn.sigmoid(v))
        if self.activation == "relu":
            return jnp.where(v > 0, 1.0, 0.0).astype(v.dtype)
        return jnp.ones_like(v)

    def step(
        self, r_prev: Float[Array, " n"], x: Float[Array, " n_in"]
    ) -> tuple[Float[Array, " m"], Float[Array, " n"], Float[Array, " n"]]:
        """One step of the dynamics: (r_hat, v, r)."""
        r_hat = jnp.concatenate([r_prev, x, jnp.ones(1, x.dtype)])
        v = self.W @ r_hat
        return r_hat, v, self.leak(r_prev, v)

    def leak(self, r_prev: Float[Array, " n"], v: Float[Array, " n"]) -> Float[Array, " n"]:
        """The next rates, (1 - alpha) r_prev + alpha phi(v)."""
        return (1 - self.alpha) * r_prev + self.alpha * self.phi(v)

    def gain(self, v: Float[Array, "*T n"], *, with_alpha: bool = True) -> Float[Array, "*T n"]:
        """d r / d v = alpha D, the gain of the immediate influence; without alpha, the published program's slip, D."""
        return self.alpha * self.slope(v) if with_alpha else self.slope(v)

    def jacobian(self, v: Float[Array, " n"]) -> Float[Array, "n n"]:
        """J = (1 - alpha) I + alpha diag(D) W_rec, J_ij = d r_i^t / d r_j^{t-1}."""
        return (1 - self.alpha) * jnp.eye(self.n, dtype=v.dtype) + self.gain(v)[:, None] * self.W_rec

    def readout(self, r: Float[Array, " n"]) -> Float[Array, " n_out"]:
        """z = W_out r + b_out."""
        return self.W_out @ r + self.b_out

    def loss_and_error(
        self, z: Float[Array, " n_out"], target: Float[Array, " n_out"]
    ) -> tuple[Float[Array, ""], Float[Array, " n_out"]]:
        """The loss L of one step and its error dL/dz.

        Softmax head: cross-entropy in nats, and softmax(z) sum(target) - target. A label's entries sum to 1, or to the
        weight of the step: both are 0 for a label of zeros, which so leaves a step out. Linear head: half the summed squared
        error, and z - target.
        """
        if self.head == "softmax":
            below, weight = z - jnp.max(z), jnp.sum(target)
            p = jnp.exp(below)  # softmax(z) is p / sum(p), its logarithm below - log(sum(p))
            return weight * jnp.log(jnp.sum(p)) - jnp.vdot(target, below), p * (weight / jnp.sum(p)) - target
        error = z - target
        return 0.5 * jnp.sum(error**2), error

    def has_loss(self, least: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether the head has a loss for labels of at least `least`: a softmax head has none for labels below 0."""
        return least >= 0 if self.head == "softmax" else jnp.array(True)


class Network(eqx.Module):
    """What the learner is made of; input and output sizes and the head come from the task."""

    n: int = eqx.field(default=32, converter=partial(check_count, "n"))
    """Number of recurrent units; the paper's 32."""
    alpha: float = eqx.field(default=0.5, converter=_ALPHA)
    """Leak, the part of a firing rate that is renewed each step, in (0, 1]; the paper's 0.5."""
    activation: Activation = "tanh"
    """phi, by name; the paper's tanh."""

    def __check_init__(self):
        check_count("n", self.n)
        check_fields(self)

    def create(self, n_in: int, n_out: int, head: Head, key: PRNGKeyArray) -> LeakyRNN:
        """Draw the initial network for a task of these sizes and this head."""
        return LeakyRNN.create((self.n, n_in, n_out), key, alpha=self.alpha, activation=self.activation, head=head)
