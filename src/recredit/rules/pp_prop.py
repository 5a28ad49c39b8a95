"""pp-prop: an eligibility trace per synapse, factored into one of the presynaptic signal and one of the postsynaptic unit.

    p_j^t  = a p_j^{t-1} + r_hat_j^t                                                                            (1)
    f_i^t  = a (1 - alpha) f_i^{t-1} + (1 - a) alpha D_i^t                                                      (2)
    G_ij^t = c_bar_i^t f_i^t p_j^t                                                                              (3)

The influence M_kij ~ delta_ki f_i p_j: RFLO sums a product over time; here it is the product of two sums. State: p (m,),
f (n,). Cost: n + m memory, nm time. Biased; at a = 0 it is the immediate derivative. For units of any kind, f is (S, G, n),
L = ds'/ds replaces 1 - alpha, and ds'/dv replaces alpha D. BrainTrace's program calls it ES-D-RTRL.

@article{wang2026model, title={Model-agnostic linear-memory online learning in spiking neural networks},
  author={Wang, Chaoming and Dong, Xingsi and Ji, Zilong and Xiao, Mingqing and Jiang, Jiedong and Liu, Xiao and Huan, Yuxiang
  and Wu, Si}, journal={Nature Communications}, volume={17}, pages={1745}, year={2026}}
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
from recredit.network.unitwise import row_times, times_trace
from recredit.rule import AbstractRule, Step


class PPPropState(eqx.Module):
    """The traces of signals and of units, and the feedback's arrays."""

    p: Float[Array, " m"]
    f: Float[Array, "*S_G n"]
    feedback: Any


class PPProp(AbstractRule):
    """A trace for each presynaptic signal and one for each unit, in place of one for each synapse."""

    decay: float = eqx.field(default=0.9, converter=partial(check_range, "pp-prop's decay", least=0, most=0.999999))
    """a, the fraction of a trace that is kept at each step; 0.9 remembers about ten steps."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> PPPropState:
        p, f = jnp.zeros(net.W.shape[1], net.W.dtype), jnp.zeros(net.own_shape[:-1], net.W.dtype)
        return PPPropState(p, f, self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: PPPropState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], PPPropState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at, a = step.at(net), self.decay
        p = a * state.p + step.r_hat  # (1)
        f = a * times_trace(net.memory(at), state.f[..., None])[..., 0] + (1 - a) * net.gain(at)  # (2)
        return jnp.outer(row_times(c_bar, f), p), PPPropState(p, f, feedback)  # (3)

    def restart(self, net: RNN, state: PPPropState) -> tuple[Float[Array, "P m"], PPPropState]:
        return jnp.zeros_like(net.W), replace(state, p=jnp.zeros_like(state.p), f=jnp.zeros_like(state.f))
