"""The network that a rule is audited on, and whose each entry of its arrays is.

Of n units with S state variables and G voltages each, the entries i, i + n, i + 2n, ... of a state (S n,), of voltages (G n,),
of the rows of W (G n, m) and of blocks (S, G, n, m) are unit i's own. So are its derivatives L, D and R.
"""

import warnings
from functools import lru_cache
from typing import Any

import jax

from recredit.audit.verdicts import THE_PAPERS
from recredit.contract import example_key, example_step
from recredit.network import RNN, AbstractUnits, Network
from recredit.network.leaky import Leaky
from recredit.rule import Step

Sizes = tuple[int, int, int]  # n, n_in, n_out
Index = tuple[int, ...]


class Audited:
    """A network's settings, as far as a rule's program depends on them: units, and whether there are mask, signs and noise."""

    def __init__(self, network: Network | None = None, noisy: bool = False):
        """`network`: its settings; None: the paper's. Its size, its weights and which synapses exist are left open.
        `noisy`: whether it has noise whatever its settings, for a rule that learns from it."""
        given = Network() if network is None else network
        if not isinstance(given, Network):
            raise TypeError(f"the network must be a Network, as Network(units=GRU()), not {type(given).__name__}.")
        self.units, self.signed = given.kind, given.excitatory is not None
        self.noisy = noisy or given.noise > 0
        self.masked = given.is_masked
        self.S, self.G, self.K = len(self.units.variables), len(self.units.voltages), self.units.outputs

    @property
    def is_the_papers(self) -> bool:
        """Whether it is the paper's network: leaky tanh units, and all synapses, of any sign."""
        return self.units == Leaky(0.5, "tanh") and not self.masked and not self.signed

    @property
    def is_recurrent(self) -> bool:
        """Whether its units have synapses between them."""
        return self.units.are_recurrent

    @property
    def is_simple(self) -> bool:
        """Whether a unit is one number everywhere, so that its arrays have one entry for each unit."""
        return self.S == self.G == self.K == 1

    def __str__(self) -> str:
        if self.is_the_papers:
            return THE_PAPERS + " with noise" * self.noisy
        settings = ", ".join(f"{key} {value}" for key, value in vars(self.units).items())
        synapses = ", not all synapses" * self.masked + ", synapses of a fixed sign" * self.signed + ", noise" * self.noisy
        sizes = [f"{name} = {k}n {what}" for name, k, what in self._sizes if k > 1]
        more = f"; {', '.join(sizes)}" if sizes else ""
        return f"{type(self.units).__name__} units{f' ({settings})' if settings else ''}{synapses}{more}"

    @property
    def _sizes(self) -> tuple[tuple[str, int, str], ...]:
        return ("N", self.S, "state variables"), ("P", self.G, "voltages")

    def draw(self, sizes: Sizes, key: Any, units: AbstractUnits | None = None) -> RNN:
        """A network of these sizes; with other `units`, if given."""
        return _draw(units or self.units, self.masked, self.signed, self.noisy, sizes, key)

    def example(self, sizes: Sizes) -> tuple[RNN, Step, Any]:
        """Network, step and key of these sizes, shapes only."""
        return _example(self.units, self.masked, self.signed, self.noisy, sizes, jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]

    def folded(self, shape: Index, index: Index, n: int) -> Index:
        """The index of an entry of an array, that of a unit in place of those of its variables along each axis."""
        return tuple(k % n if self.of_units(size, n) else k for size, k in zip(shape, index, strict=True))

    def of_units(self, size: int, n: int) -> bool:
        """Whether an axis of this size holds the variables, or the voltages, of n units."""
        return size in (n, self.S * n, self.G * n, self.K * n)

    def owners(self, shape: Index, index: Index, sizes: Sizes) -> int:
        """Whose an entry of an array is, a bit for each unit, input, output, or other place along one of its axes.

        The parts of a unit (S, G) that stand before the units are none of these.
        """
        n, n_in, _ = sizes
        m, found = n + n_in + 1, 0
        blocks = shape == (self.S, self.G, n, m)
        first = 2 if blocks else next((k for k, size in enumerate(shape) if self.of_units(size, n)), 0)
        for axis, (size, k) in enumerate(zip(shape, index, strict=True)):
            if axis < first and (blocks or size in (self.S, self.G)):
                continue
            found |= 1 << (k % n if self.of_units(size, n) else k + (0 if size == m else n if size == n_in else m))
        return found


def _draw(units: AbstractUnits, masked: bool, signed: bool, noisy: bool, sizes: Sizes, key: Any) -> RNN:
    n, n_in, n_out = sizes
    with warnings.catch_warnings(action="ignore"):  # whoever made the settings has been warned
        density, excitatory = 0.5 if masked else 1.0, 0.5 if signed else None
        settings = Network(n=n, units=units, density=density, excitatory=excitatory, noise=float(noisy))
    return settings.create(n_in, n_out, "softmax", key)


@lru_cache(maxsize=1000)
def _example(units: AbstractUnits, masked: bool, signed: bool, noisy: bool, sizes: Sizes, wide: bool) -> tuple[RNN, Step, Any]:
    """Kept, since every rule is traced at the same few sizes; `wide`: whether numbers have JAX's 64 bits."""
    key = example_key()
    net = jax.eval_shape(lambda key: _draw(units, masked, signed, noisy, sizes, key), key)
    return net, example_step(net), key
