"""The network that learns: independent units, linear synapses that connect them, and a linear read-out.

With n units of S state variables and G voltages each (`recredit.network.units`), n_in inputs, n_out outputs, N = S n, P = G n
and m = n + n_in + 1,

    r_hat^t = [g(s^{t-1}); x^t; 1]                       (m,)   rates of the step before, inputs, a one
    v^t     = W r_hat^t + xi^t,  W = [W_rec | W_in | b_rec]  (P,)   all that a rule learns; xi ~ N(0, noise^2), none by default
    s^t     = f(s^{t-1}, v^t)                            (N,)   unit by unit
    z^t     = W_out out(s^t) + b_out                     (n_out,)

and its derivatives are made of those of a unit: L = ds'/ds at fixed v, D = ds'/dv, R = dg/ds, and J = L + D W_rec R, which is
what one step does to the state (N,).
"""

from typing import Any, Literal, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from recredit.errors import check_choice, check_fields, check_instance
from recredit.network.activations import PHI
from recredit.network.synapses import check_fan_out, check_signs
from recredit.network.units import AbstractUnits, PerUnit, join, split
from recredit.network.unitwise import matrix, row_times, times_column

Head = Literal["softmax", "linear"]
HEADS = ("softmax", "linear")
LEAKY_ALONE = ("alpha", "activation", "slope", "leak")


class At(NamedTuple):
    """What the derivatives of one step depend on."""

    s_prev: Float[Array, "*T N"]
    """The state before it."""
    v: Float[Array, "*T P"]
    """The voltages."""


class RNN(eqx.Module):
    """A recurrent network of any units with trainable weights `W`, `W_out`, `b_out`.

    `head` fixes the loss: "softmax" with cross-entropy (two outputs or more), or "linear" with half the summed squared error.
    """

    W: Float[Array, "P m"]
    """[W_rec | W_in | b_rec], the weights that a rule learns; n rows for each of the units' voltages."""
    W_out: Float[Array, "n_out k"]
    """Read-out weights, learned by the delta rule; n columns for each quantity that the read-out gets of a unit."""
    b_out: Float[Array, " n_out"]
    """Biases of the read-out, learned by the delta rule."""
    units: AbstractUnits = eqx.field(static=True)
    """What the units do with their voltages."""
    head: Head = eqx.field(static=True)
    """The loss: "softmax" (cross-entropy) or "linear" (half the summed squared error)."""
    mask: Bool[Array, "_ _"] | None = None
    """Which synapses exist, (P, m): the others are 0 and stay 0. None: all."""
    signs: Float[Array, " _"] | None = None
    """(m,), the sign that all synapses from each presynaptic signal keep: 1, -1, or 0 for any (Dale's law). None: any."""
    noise: float = eqx.field(default=0.0, static=True)
    """Standard deviation of the noise added to each voltage at each step."""
    fan_out: int | None = eqx.field(default=None, static=True)
    """The largest number of other units onto which a unit has recurrent synapses; None: all of them."""

    def __check_init__(self):
        check_fields(self)
        check_instance("the network's units", self.units, AbstractUnits)
        check_choice("head", self.head, HEADS)
        shapes: list[tuple[int, ...]] = [getattr(array, "shape", ()) for array in (self.W, self.W_out, self.b_out)]
        W, W_out, b_out = shapes
        G, K = len(self.units.voltages), self.units.outputs
        n = W[0] // G if W else 0
        if [*map(len, shapes)] != [2, 2, 1] or W[0] % G or W[1] < n + 2 or W_out != (*b_out, K * n):
            rows, columns = "n" if G == 1 else f"{G} n", "n" if K == 1 else f"{K} n"
            raise ValueError(
                f"the network's sizes disagree: W is {W}, W_out {W_out}, b_out {b_out}; "
                f"they must be arrays ({rows}, n + n_in + 1), (n_out, {columns}) and (n_out,)."
            )
        for what, array, shape in (("mask", self.mask, W), ("signs", self.signs, W[1:])):
            if array is not None and getattr(array, "shape", None) != shape:
                given = getattr(array, "shape", type(array).__name__)
                raise ValueError(f"the network's {what} must be of shape {shape}, as W's, not {given}.")
        if self.fan_out is not None and not isinstance(self.mask, Tracer):
            check_fan_out(self.fan_out, n, self.mask)
        if self.signs is not None and not any(isinstance(a, Tracer) for a in (self.W, self.signs)):
            check_signs(self.W, self.signs)
        if self.head == "softmax" and b_out == (1,):
            raise ValueError(
                "a softmax head with one output has the loss 0 for every network and label; "
                'take two outputs, with labels (y, 1 - y), or the head "linear".'
            )

    def __getattr__(self, name: str) -> Any:
        if name in LEAKY_ALONE:
            raise AttributeError(f"{type(self.units).__name__} units have no {name}: what reads it is for leaky units alone")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def n(self) -> int:
        """Number of recurrent units."""
        return self.W.shape[0] // len(self.units.voltages)

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.W.shape[1] - self.n - 1

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.W_out.shape[0]

    @property
    def n_state(self) -> int:
        """N, the number of state variables of all units."""
        return self.n * len(self.units.variables)

    @property
    def own_shape(self) -> tuple[Any, ...]:
        """Of the influence of each unit's weights on its own state: (S, G, n, m), or (n, m) where S = G = 1."""
        S, G = len(self.units.variables), len(self.units.voltages)
        return (*(() if self.units.is_simple else (S, G)), self.n, self.W.shape[1])

    @property
    def W_rec(self) -> Float[Array, "P n"]:
        """The recurrent weights, the first n columns of W."""
        return self.W[:, : self.n]

    @property
    def reaches(self) -> Bool[Array, "n n"]:
        """Which units each unit has recurrent synapses onto: entry k, i of unit i onto k."""
        n = self.n
        return jnp.ones((n, n), bool) if self.mask is None else self.mask[:, :n].reshape(-1, n, n).any(0)

    def with_weights(self, W: Any, W_out: Any, b_out: Any) -> "RNN":
        """The same network with other weights."""
        return eqx.tree_at(lambda net: (net.W, net.W_out, net.b_out), self, (W, W_out, b_out))

    def kept(self, W: Float[Array, "P m"]) -> Float[Array, "P m"]:
        """The nearest weights to W that mask and signs allow: 0 where there is no synapse, and none of the wrong sign."""
        if self.mask is not None:
            W = jnp.where(self.mask, W, 0)
        return W if self.signs is None else jnp.where(W * self.signs < 0, 0, W)

    def rest(self) -> Float[Array, " N"]:
        """The state before a trial."""
        return join(tuple(part.astype(self.W.dtype) for part in self.units.rest(self.n)))

    def first(self, key: PRNGKeyArray) -> Float[Array, " N"]:
        """The state before a run's first step."""
        return join(tuple(part.astype(self.W.dtype) for part in self.units.first(self.n, key)))

    def noise_of(self, key: PRNGKeyArray) -> Float[Array, " P"] | None:
        """Draw the noise of one step's voltages; None: the network has none."""
        return self.noise * jax.random.normal(key, self.W.shape[:1], self.W.dtype) if self.noise else None

    def step(
        self, s_prev: Float[Array, " N"], x: Float[Array, " n_in"], xi: Float[Array, " P"] | None = None
    ) -> tuple[Float[Array, " m"], Float[Array, " P"], Float[Array, " N"]]:
        """One step of the dynamics: (r_hat, v, s); `xi`: what is added to the voltages, None: nothing."""
        r_hat = jnp.concatenate([self.rates(s_prev), x, jnp.ones(1, x.dtype)])
        v = self.W @ r_hat
        v = v if xi is None else v + xi
        return r_hat, v, join(self.units.f(self._state(s_prev), self._voltages(v)))

    def rates(self, s: Float[Array, " N"]) -> Float[Array, " n"]:
        """r = g(s), what other units get."""
        return s if self.units.rates_are_state else self.units.g(self._state(s))

    def out(self, s: Float[Array, " N"]) -> Float[Array, " k"]:
        """What the read-out gets."""
        return s if self.units.rates_are_state else join(self.units.out(self._state(s)))

    def readout(self, s: Float[Array, " N"]) -> Float[Array, " n_out"]:
        """z = W_out out(s) + b_out."""
        return self.W_out @ self.out(s) + self.b_out

    def phi(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The units' activation function, elementwise. Raises AttributeError for units that have none."""
        return PHI[getattr(self.units, "activation")](v)  # noqa: B009

    def gain(self, at: At | Float[Array, "*T P"], *, with_alpha: bool = True) -> Float[Array, "*S_G n"]:
        """D = ds'/dv of a step (`Step.at`); without alpha, for leaky units only, phi': the published program's slip."""
        if not with_alpha:
            return self.slope(at)
        return self.units.gain(*self._split(at))

    def memory(self, at: At | Float[Array, " P"]) -> Float[Array, "*S_S n"] | float:
        """L = ds'/ds at fixed v, a unit's own memory."""
        return self.units.memory(*self._split(at))

    def jacobian(self, at: At | Float[Array, " P"]) -> Float[Array, "N N"]:
        """J = L + D W_rec R, J_ij = d s_i^t / d s_j^{t-1}."""
        L, D, W_rec = self.memory(at), self.gain(at), self.W_rec
        if self.units.is_simple:
            L = L * jnp.eye(self.n, dtype=W_rec.dtype) if isinstance(L, float) else jnp.diag(L)
            return L + D[:, None] * self.times_slope(at, W_rec)
        return matrix(cast(Array, L)) + self.times_slope(at, times_column(D, W_rec))

    def own_jacobian(self, at: At | Float[Array, " P"]) -> Float[Array, "*S_S n"]:
        """Each unit's own part of J, its memory and the path through its synapse onto itself: blocks as in `memory`."""
        own = jnp.diagonal(self.W_rec.reshape(-1, self.n, self.n), axis1=1, axis2=2)  # (G, n)
        R = 1.0 if self.units.rates_are_state else self.units.rates_slope(self._split(at)[0])
        if self.units.is_simple:
            return self.memory(at) + self.gain(at) * own[0] * R
        return cast(Array, self.memory(at)) + (self.gain(at) * own).sum(1)[:, None] * R

    def sent(self, at: At | Float[Array, " P"], a: Float[Array, "N *k"]) -> Float[Array, "n *k"]:
        """R a, over the first axis of `a`: what a change of the state before the step does to the rates."""
        if self.units.rates_are_state:
            return a
        R = self.units.rates_slope(self._split(at)[0])
        return times_column(R if R.ndim == 1 else R[None], a)

    def times_slope(self, at: At | Float[Array, " P"], c: Float[Array, "*k n"]) -> Float[Array, "*k N"]:
        """c R, over the last axis of `c`: credit for rates turned into credit for the state before the step."""
        if self.units.rates_are_state:
            return c
        return _over_last(c, self.units.rates_slope(self._split(at)[0]))

    def times_out_slope(self, s: Float[Array, " N"], c: Float[Array, " k"]) -> Float[Array, " N"]:
        """c d out / ds: credit for what the read-out gets turned into credit for the state."""
        return c if self.units.rates_are_state else row_times(c, self.out_slope(s))

    def out_slope(self, s: Float[Array, " N"]) -> Float[Array, "*K_S n"] | float:
        """d out / ds, what a change of the state does to what the read-out gets."""
        return 1.0 if self.units.rates_are_state else self.units.out_slope(self._state(s))

    def _state(self, s: Float[Array, " N"]) -> PerUnit:
        return split(s, len(self.units.variables))

    def _voltages(self, v: Float[Array, " P"]) -> PerUnit:
        return split(v, len(self.units.voltages))

    def _split(self, at: At | Float[Array, "*T P"]) -> tuple[Any, Any]:
        """The state before a step and the step's voltages, by variable and voltage; units that need no state are given none."""
        return (self._state(at.s_prev), self._voltages(at.v)) if isinstance(at, At) else (None, (at,))

    def loss_and_error(
        self, z: Float[Array, " n_out"], target: Float[Array, " n_out"]
    ) -> tuple[Float[Array, ""], Float[Array, " n_out"]]:
        """The loss L of one step and its error dL/dz.

        Softmax head: cross-entropy in nats, and softmax(z) sum(target) - target, where a label's entries sum to 1. Linear head:
        half the summed squared error, and z - target.
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


def _over_last(c: Float[Array, "*k n"], R: Float[Array, "*S n"]) -> Float[Array, "*k N"]:
    """c R over the last axis of c: (n,), or all S parts of a state one after the other."""
    return c * R if R.ndim == 1 else (c[..., None, :] * R).reshape(*c.shape[:-1], -1)
