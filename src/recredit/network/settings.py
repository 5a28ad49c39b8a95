"""What a network is made of, as settings."""

import hashlib
import warnings
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PRNGKeyArray

from recredit.errors import (
    NameOrFile,
    brief,
    check_count,
    check_digest,
    check_fields,
    check_optional_range,
    check_range,
    real_file,
    unreadable,
    user_path,
)
from recredit.network import synapses
from recredit.network.activations import Activation
from recredit.network.leaky import ALPHA, Leaky
from recredit.network.leaky_rnn import LeakyRNN
from recredit.network.rnn import RNN, Head
from recredit.network.units import AbstractUnits

RECURRENCE = ("orthogonal", "gaussian", "identity", "zero")
DRAWN = ("orthogonal", "gaussian")
CONNECTIONS = ("all", "areas", "stack", "diagonal", "none")


class Network(eqx.Module):
    """What the learner is made of; input and output sizes and the head come from the task."""

    n: int = eqx.field(default=32, converter=partial(check_count, "n"))
    """Number of recurrent units; the paper's 32."""
    alpha: float = eqx.field(default=0.5, converter=ALPHA)
    """Leak of leaky units, the fraction of a firing rate that is renewed at each step, in (0, 1]; the paper's 0.5."""
    activation: Activation = "tanh"
    """phi of leaky units, by name; the paper's tanh."""
    units: AbstractUnits | None = None
    """Units of another kind, with settings of their own; None: leaky units with `alpha` and `activation`."""
    W_rec: NameOrFile = eqx.field(default="orthogonal", converter=partial(synapses.check_name, "W_rec", allowed=RECURRENCE))
    """The initial recurrent weights, for each voltage: "orthogonal" as in the paper, "gaussian" ~ N(0, 1/n), "identity",
    "zero"; or an array (n, n) of your own, a .npy or .csv file."""
    gain: float = eqx.field(default=1.0, converter=partial(check_range, "the gain of W_rec", least=0))
    """Factor of the initial W_rec: its spectral radius, if it is orthogonal or Gaussian."""
    connections: NameOrFile = eqx.field(
        default="all", converter=partial(synapses.check_name, "connections", allowed=CONNECTIONS)
    )
    """Which recurrent synapses exist: "all"; "areas", within each of `areas` equal groups of units; "stack", from each group to
    the next, with inputs to the first group only; "diagonal", from each unit to itself; "none"; or a mask (n, m) of 0 and 1 of
    your own, a .npy or .csv file."""
    areas: int = eqx.field(default=1, converter=partial(check_count, "the number of areas"))
    """Number of equal groups of units, for the connections "areas" and "stack"."""
    density: float = eqx.field(default=1.0, converter=partial(check_range, "the density", above=0, most=1))
    """The share of these recurrent synapses that exist: the same number leaves each unit (a fixed out-degree), to units drawn
    at random once for each seed; weights are scaled by the square root of n over the number that reach a unit."""
    self_synapses: bool = True
    """Whether a unit may have a synapse with itself."""
    excitatory: float | None = eqx.field(
        default=None, converter=partial(check_optional_range, "the excitatory share", least=0, most=1)
    )
    """Dale's law: the share of the units whose outgoing synapses are all excitatory; those of the others are inhibitory. None:
    weights of any sign."""
    noise: float = eqx.field(default=0.0, converter=partial(check_range, "the network's noise", least=0))
    """Standard deviation of the normally distributed noise that is added to each voltage at each step."""
    digest: str | None = None
    """The fingerprint that your own arrays must have; None: whatever the files hold now is used."""

    def __check_init__(self):
        check_fields(self)
        kind = type(self.units).__name__
        if self.units is not None and (self.alpha, self.activation) != (0.5, "tanh"):
            raise ValueError(
                "alpha and activation are those of leaky units if no units are named; "
                f"{kind} units have settings of their own, as network.units.NAME=VALUE."
            )
        if self.areas > self.n:
            raise ValueError(f"{self.areas} areas need at least as many units, and the network has {self.n}.")
        if (self.areas > 1) != (self.connections in ("areas", "stack")):
            raise ValueError(
                'the connections "areas" and "stack", and no others, need two areas or more; given were '
                f'"{self.connections}" and {self.areas}.'
            )
        if synapses.is_own(self.connections) and (self.density < 1 or not self.self_synapses):
            raise ValueError("a mask of your own says which synapses exist; leave density and self_synapses as they are.")
        self._check_recurrent()
        if synapses.is_own(self.W_rec):
            W_rec = synapses.read_array("W_rec", self.W_rec, (self.n, self.n))
            if self.excitatory is not None:
                synapses.check_signs(W_rec, synapses.dale(self.excitatory, self.n, 0)[:-1])
        check_digest("what the network's files hold", self.fingerprint(), self.digest)
        if advice := self.advice():
            warnings.warn(advice, stacklevel=2)

    def _check_recurrent(self) -> None:
        """Raise ValueError for settings of recurrent synapses where there are none, or none of this kind."""
        share = self.excitatory
        if share is not None and 0 < share < 1 and round(share * self.n) in (0, self.n):
            raise ValueError(
                f"a share of {share:g} of {self.n} units makes {round(share * self.n)} of them excitatory: take more units, or "
                "a share of 0 or 1 if all are to be of one kind."
            )
        if self.connections == "diagonal" and not self.self_synapses:
            raise ValueError('the connections "diagonal" are synapses of units onto themselves: leave self_synapses true.')
        if self.kind.are_recurrent and self.connections != "none":
            if self.density < 1:
                synapses.sent(self._possible(0), self.density)
            return
        whose = 'the connections "none" leave' if self.kind.are_recurrent else f"{type(self.kind).__name__} units have"
        usual = {"W_rec": "orthogonal", "gain": 1, "density": 1, "self_synapses": True, "excitatory": None}
        for name, default in usual.items():
            if (given := getattr(self, name)) != default:
                raise ValueError(f"{whose} no recurrent synapses: {name} cannot be {brief(given)}.")
        if self.connections not in ("all", "none"):
            raise ValueError(f'{whose} no recurrent synapses: leave connections at "all".')

    @property
    def kind(self) -> AbstractUnits:
        """The units."""
        return Leaky(self.alpha, self.activation) if self.units is None else self.units

    @property
    def is_masked(self) -> bool:
        """Whether some synapses that the units could have do not exist."""
        return self.connections != "all" or self.density < 1 or not self.self_synapses

    def advice(self) -> str | None:
        """A sentence on what makes little sense in these settings; None: nothing."""
        if self.excitatory is not None and not self.kind.nonnegative:
            return (
                "Dale's law requires rates that are never negative: if a unit's rate changes sign, so does the effect of all "
                "its synapses; take relu, sigmoid or softplus units."
            )
        return None

    def fingerprint(self) -> str | None:
        """A short digest of the arrays of the user's own; None: there are none."""
        own = {what: name for what, name in (("W_rec", self.W_rec), ("connections", self.connections)) if synapses.is_own(name)}
        data: dict[str, bytes] = {}
        for what, name in own.items():
            try:
                data[what] = real_file(user_path(name)).read_bytes()
            except OSError as error:
                raise unreadable(f"the file {name} of {what}", name, error) from None
        return hashlib.sha256(repr(data).encode()).hexdigest()[:16] if data else None

    def create(self, n_in: int, n_out: int, head: Head, key: PRNGKeyArray) -> RNN:
        """Draw the initial network for a task of these sizes and this head.

        W_rec as its setting says, W_in ~ N(0, 1/n_in), for each voltage of a unit; W_out ~ N(0, 1/n); biases as the units say.
        """
        units, n, K = self.kind, self.n, self.kind.outputs
        k_rec, k_in, k_out = jax.random.split(key, 3)
        k_mask, k_bias = (jax.random.fold_in(key, i) for i in (3, 4))
        possible = self._possible(n_in) if self.is_masked else None
        mask = None if possible is None else synapses.drawn(possible, self.density, k_mask)
        signs = None if self.excitatory is None else synapses.dale(self.excitatory, n, n_in)
        # All in one call: vectorised, jaxlib's decompositions of several calls may wait for one another's threads for ever.
        own_keys = jnp.stack([_own(k_rec, g) for g in range(len(units.voltages))])
        recurrent = jax.vmap(lambda key: synapses.recurrent(self.W_rec, self.gain, n, key))(own_keys)
        drawn = []
        for g, W_rec in enumerate(recurrent):
            if signs is not None and not synapses.is_own(self.W_rec):
                W_rec = synapses.balanced(W_rec, signs[:n])
            if mask is not None and self.W_rec in DRAWN:
                W_rec = W_rec * jnp.sqrt(n / jnp.maximum(mask[:, :n].sum(1, keepdims=True), 1))
            W_in = jax.random.normal(_own(k_in, g), (n, n_in)) / jnp.sqrt(n_in)
            drawn.append([W_rec, W_in])
        W_out = jax.random.normal(k_out, (n_out, K * n)) / jnp.sqrt(n)
        biases = (bias[:, None].astype(W_out.dtype) for bias in units.biases(n, k_bias))
        W = jnp.concatenate([jnp.concatenate([*each, bias], axis=1) for each, bias in zip(drawn, biases, strict=True)])
        mask = synapses.reached(units, n, n_in, mask)
        W = W if mask is None else jnp.where(mask, W, 0)
        b_out = jnp.zeros(n_out)
        kept = None if signs is None else jnp.asarray(signs, W.dtype)
        fan_out = None if possible is None else synapses.fan_out(possible, self.density)
        fan_out = fan_out if units.are_recurrent else 0
        if isinstance(units, Leaky):
            return LeakyRNN(W, W_out, b_out, units.alpha, units.activation, head, mask, kept, self.noise, fan_out)
        return RNN(W, W_out, b_out, units, head, mask, kept, self.noise, fan_out)

    def _possible(self, n_in: int) -> Bool[np.ndarray, "n m"]:
        return synapses.possible(self.connections, self.areas, self.self_synapses, (self.n, n_in))


def _own(key: PRNGKeyArray, g: int) -> PRNGKeyArray:
    """The key of the g-th voltage; the first has the key that a unit's only voltage would have."""
    return jax.random.fold_in(key, g) if g else key
