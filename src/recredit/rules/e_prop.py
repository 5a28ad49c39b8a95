"""e-prop: RFLO's eligibility trace, filtered as the read-out filters rates.

    E^t     = L^t E^{t-1} + D^t r_hat^t                                                                         (1)
    e_bar^t = kappa e_bar^{t-1} + (d out/ds)^t E^t                                                              (2)
    G^t     = (error W_FB) e_bar^t                                                                              (3)

L = ds'/ds and D = ds'/dv of each unit, so E (S, G, n, m) holds the influence of a unit's synapses on its own state: on ALIF
units, the traces of the membrane and of the adaptation. A leaky read-out, z^t = kappa z^{t-1} + W_out out(s^t), also sees the
rates of earlier steps, and so does e_bar (K, G, n, m). Without a leaky read-out (kappa = 0) this is RFLO. `feedback` makes it
symmetric (exact), random, broadcast or adaptive (Kolen-Pollack) e-prop. State: E and e_bar, 2nm numbers on leaky units. Cost:
O(nm) time. Biased: it drops every path through another unit.

@article{bellec2020solution, title={A solution to the learning dilemma for recurrent networks of spiking neurons},
  author={Bellec, Guillaume and Scherr, Franz and Subramoney, Anand and Hajek, Elias and Salaj, Darjan and Legenstein, Robert
  and Maass, Wolfgang}, journal={Nature Communications}, volume={11}, number={1}, pages={3625}, year={2020}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_range
from recredit.network import RNN
from recredit.network.unitwise import row_times_trace, times_signals, times_trace
from recredit.rule import AbstractRule, Step


class EPropState(eqx.Module):
    """The eligibility vectors, their filtered image at the read-out, and the feedback's arrays."""

    E: Float[Array, "*S_G n m"]
    e_bar: Float[Array, "*K_G n m"]
    feedback: Any


class EProp(AbstractRule):
    """Eligibility traces, filtered as by a leaky read-out and gated by a learning signal for each unit."""

    kappa: float = eqx.field(default=0.0, converter=partial(check_range, "e-prop's kappa", least=0, most=1))
    """The fraction of its value that a leaky read-out keeps from step to step; 0, since recredit's read-out does not leak."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> EPropState:
        E = jnp.zeros(net.own_shape, net.W.dtype)
        return EPropState(E, jnp.zeros_like(at_readout(net, net.out_slope(net.rest()), E)), self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: EPropState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], EPropState]:
        signal = step.error @ self.feedback.weights(net, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at = step.at(net)
        E = times_trace(net.memory(at), state.E) + times_signals(net.gain(at), step.r_hat)  # (1)
        e_bar = self.kappa * state.e_bar + at_readout(net, net.out_slope(step.state), E)  # (2)
        return row_times_trace(signal, e_bar), EPropState(E, e_bar, feedback)  # (3)

    def restart(self, net: RNN, state: EPropState) -> tuple[Float[Array, "P m"], EPropState]:
        return jnp.zeros_like(net.W), replace(state, E=jnp.zeros_like(state.E), e_bar=jnp.zeros_like(state.e_bar))


def at_readout(net: RNN, out_slope: Any, E: Float[Array, "*S_G n m"]) -> Float[Array, "*K_G n m"]:
    """(d out/ds) E, the effect of a change of the weights on what the read-out gets from each unit; E if that is the state."""
    if net.units.rates_are_state:
        return E
    return times_trace(out_slope, E.reshape(len(net.units.variables), -1, *E.shape[-2:]))
