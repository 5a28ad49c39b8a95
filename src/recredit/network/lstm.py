"""Long short-term memory, with a forget gate, without peepholes.

    c' = sigmoid(v_forget) c + sigmoid(v_input) tanh(v_cell)
    h' = sigmoid(v_output) tanh(c')

Source: Hochreiter & Schmidhuber 1997, "Long short-term memory"; the forget gate: Gers, Schmidhuber & Cummins 2000; its initial
bias of 1: Jozefowicz, Zaremba & Sutskever 2015.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from recredit.errors import check_range
from recredit.network.units import AbstractUnits, PerUnit


class LSTM(AbstractUnits):
    """Long short-term memory: a cell that gates write, keep and read."""

    forget_bias: float = eqx.field(default=1.0, converter=partial(check_range, "the forget gate's bias"))
    """The forget gate's initial bias; 1, so that cells keep what they hold."""

    variables = ("h", "c")
    voltages = {"input": "all", "forget": "all", "output": "all", "cell": "all"}

    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        (_, c), (write, forget, read, cell) = s, v
        c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(write) * jnp.tanh(cell)
        return jax.nn.sigmoid(read) * jnp.tanh(c), c

    def biases(self, n: int, key: PRNGKeyArray) -> PerUnit:
        zero = jnp.zeros(n)
        return zero, jnp.full(n, self.forget_bias), zero, zero
