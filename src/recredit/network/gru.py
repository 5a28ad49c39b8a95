"""Gated recurrent units, with the reset gate after the product, as in cuDNN, PyTorch and Keras.

    r  = sigmoid(v_reset),   z = sigmoid(v_update)
    h' = z h + (1 - z) tanh(v_input + r v_units)

The candidate has two voltages: one reads inputs and bias, the other units and bias. Cho's first form has the reset gate before
the product, W (r h). There a synapse would carry the effect of its sender's gate in the same step, so it is not a network of
this kind.

Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder" (version 1), arXiv:1406.1078.
"""

import jax
import jax.numpy as jnp

from recredit.network.units import AbstractUnits, PerUnit


class GRU(AbstractUnits):
    """Gated recurrent units."""

    variables = ("h",)
    voltages = {"reset": "all", "update": "all", "input": "inputs", "units": "units"}

    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        (h,), (reset, update, from_inputs, from_units) = s, v
        z = jax.nn.sigmoid(update)
        return (z * h + (1 - z) * jnp.tanh(from_inputs + jax.nn.sigmoid(reset) * from_units),)
