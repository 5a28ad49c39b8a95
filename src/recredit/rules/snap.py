"""SnAp-k: RTRL's influence, kept only for the units that each unit's weights reach within k - 1 synapses.

    M_kij^t = sum_l J_kl^t M_lij^{t-1} + delta_ki alpha D_i^t r_hat_j^t   for k in R_i, else 0                  (1)
    G_ij^t  = sum_{k in R_i} c_bar_k^t M_kij^t                                                                  (2)

R_i holds unit i and all units at the end of a path of at most k - 1 recurrent synapses from it. It depends on which synapses
exist (`RNN.mask`), not on their weights. With k = 1 this is SnAp-1; where R_i is all units, as with k = 2 in a fully connected
network, it is RTRL.

State: M (n, q, 1, m), for each unit i the influence of its weights on the units of R_i, in q slots, and which units these are
(n, q), unless R_i is always i alone or all units. If a unit has synapses onto at most d others (`RNN.fan_out`), no R_i has more
than q = min(n, 1 + d + d^2 + ... + d^{k-1}) units; unused slots hold zeros. Cost: n q m memory, n q^2 m time, fractions q / n
and (q / n)^2 of RTRL's. Biased: it drops longer paths at each step. For units of any kind, M (n, S q, G, m) is the influence on
all their state variables, and ds'/dv replaces alpha D.

@inproceedings{menick2021practical, title={Practical real time recurrent learning with a sparse approximation},
  author={Menick, Jacob and Elsen, Erich and Evci, Utku and Osindero, Simon and Simonyan, Karen and Graves, Alex},
  booktitle={ICLR}, year={2021}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_count
from recredit.network import RNN
from recredit.network.unitwise import matrix
from recredit.rule import AbstractRule, Step


class SnApState(eqx.Module):
    """The influence of each unit's weights on the units that they reach, which units these are, and the feedback's arrays."""

    M: Float[Array, "n S_q G m"]
    units: Int[Array, "n q"] | None
    feedback: Any


class SnAp(AbstractRule):
    """The influence of each synapse on the units that its own unit reaches in a few steps: RTRL if it reaches all of them."""

    order: int = eqx.field(default=2, converter=partial(check_count, "the order"))
    """k: the influence is followed across k - 1 recurrent synapses. In a fully connected network, 2 is RTRL."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> SnApState:
        units = None if net.mask is None or self._stays(net) else reached(net, self.order - 1)
        places = self._places(net, units)
        M = jnp.zeros((*places.shape, len(net.units.voltages), net.W.shape[1]), net.W.dtype)
        return SnApState(M, units, self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: SnApState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], SnApState]:
        c_bar, at = self.feedback(net, step, state.feedback), step.at(net)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        J, D = net.jacobian(at), matrix(net.gain(at)).reshape(net.n_state, -1, net.n)

        def of_unit(places, D, M):
            """The gradient of one unit's weights, and their influence."""
            among = partial(jnp.take, indices=places, mode="fill", fill_value=0)
            J_own = among(among(J, axis=0), axis=1)
            M = jnp.tensordot(J_own, M, axes=1) + among(D, axis=0)[..., None] * step.r_hat[None, None]  # (1)
            return jnp.tensordot(among(c_bar), M, axes=1), M  # (2)

        G, M = jax.vmap(of_unit, (0, 2, 0), (1, 0))(self._places(net, state.units), D, state.M)
        return G.reshape(net.W.shape), SnApState(M, state.units, feedback)

    def restart(self, net: RNN, state: SnApState) -> tuple[Float[Array, "P m"], SnApState]:
        return jnp.zeros_like(net.W), replace(state, M=jnp.zeros_like(state.M))

    def _stays(self, net: RNN) -> bool:
        """Whether no unit reaches another one."""
        return self.order == 1 or net.fan_out == 0

    def _places(self, net: RNN, units: Int[Array, "n q"] | None) -> Int[Array, "n S_q"]:
        """The indices in a state of all variables of these units; for unused slots, one past its end."""
        if units is None:
            every = jnp.arange(net.n)
            units = every[:, None] if self._stays(net) else jnp.broadcast_to(every, (net.n, net.n))
        of_variable = [jnp.where(units < net.n, units + net.n * s, net.n_state) for s in range(len(net.units.variables))]
        return jnp.concatenate(of_variable, axis=1)


def reached(net: RNN, hops: int) -> Int[Array, "n q"]:
    """The units that each unit reaches within `hops` synapses, by the network's mask; n in unused slots."""
    n, hops = net.n, min(hops, net.n - 1)
    fan_out = n - 1 if net.fan_out is None else net.fan_out
    q = min(n, sum(fan_out**hop for hop in range(hops + 1)))
    onto = net.reaches.astype(int)
    within = jax.lax.fori_loop(0, hops, lambda _, within: jnp.minimum(within + onto @ within, 1), jnp.eye(n, dtype=int))
    return jax.vmap(partial(jnp.flatnonzero, size=q, fill_value=n))(within.T)
