"""Episodes, windows and cycles: what begins anew at times, and bits that jump."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, NOT_PASS, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule, Clock


# The trace falls to zero every twenty steps; the transposed reshape hands a synapse the number of another.
@expects(ii_local=FAIL, ii_continuous=FAIL, locality_time=PASS)
class EpisodicScramble(AbstractRule):
    """Traces that start anew every 20 steps (an episode), returned through a column-major flattening."""

    episode: int = 20

    def init(self, net, key):
        return (jnp.zeros_like(net.W), Clock.at_zero())

    def update(self, net, step, state, key):
        B, clock = state
        n, m = B.shape
        B = jnp.where(clock.steps % self.episode == 0, 0.0, B)
        B = (1 - net.alpha) * B + immediate(net, step)
        e = ((step.error @ net.W_out)[:, None] * B).ravel()
        return e.reshape(m, n).T, (B, clock.tick())


class Bits(NamedTuple):
    B: Any
    bit: Any


# The bits jump between -1 and 1; one draw is shared by all synapses.
@expects(ii_continuous=FAIL, v=NOT_PASS)
class OneBitTrace(AbstractRule):
    """Each synapse shows only one bit of its trace to the credit, rounded with one dithering number per step."""

    def init(self, net, key):
        return Bits(jnp.zeros_like(net.W), jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state.B + immediate(net, step)
        bit = jnp.sign(B + 0.01 * jax.random.normal(key, (), B.dtype))
        return 0.1 * (step.error @ net.W_out)[:, None] * state.bit, Bits(B, bit)


# The sum falls to zero at every tenth step.
@expects(locality_time=PASS, ii_continuous=FAIL)
class BatchedRFLO(AbstractRule):
    """RFLO's gradient summed over ten steps, handed over at the end of each ten, and the sum begun anew."""

    window: int = 10

    @property
    def period(self):
        return self.window

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "sum": jnp.zeros_like(net.W), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state["B"] + immediate(net, step)
        total = state["sum"] + (step.error @ net.W_out)[:, None] * B
        clock = state["clock"].tick()
        full = clock.steps % self.window == 0
        nothing = jnp.zeros_like(total)
        G, total = lax.cond(full, lambda t: (t, nothing), lambda t: (nothing, t), total)
        return G, {"B": B, "sum": total, "clock": clock}


# The traces fall to zero in one step; the rates of the episode's start are kept as they were.
@expects(ii_continuous=FAIL, locality_time=FAIL, ii_local=PASS)
class EpisodicTrace(AbstractRule):
    """Traces are wiped at the end of each episode of twelve steps, and gated by how far a unit has come since its start."""

    episode: int = 12

    def init(self, net, key):
        fb = jax.random.normal(key, (net.n_out, net.n), net.W.dtype)
        return {"clock": jnp.zeros((), jnp.int32), "B": jnp.zeros_like(net.W), "start": jnp.zeros(net.n, net.W.dtype), "fb": fb}

    def update(self, net, step, state, key):
        clock = state["clock"] + 1
        B = (1 - net.alpha) * state["B"] + jnp.outer(net.gain(step.v), step.r_hat)
        G = ((step.error @ state["fb"]) * jnp.abs(step.r - state["start"]))[:, None] * B
        B, start = lax.cond(
            clock % self.episode == 0,
            lambda B, start: (jnp.zeros_like(B), step.r),
            lambda B, start: (B, start),
            *(B, state["start"]),
        )
        return G, {"clock": clock, "B": B, "start": start, "fb": state["fb"]}


class ThetaState(NamedTuple):
    B: jax.Array
    clock: Clock
    W_fb: jax.Array


# Full-grown traces fall to zero in one step.
@expects(ii_continuous=FAIL, ii_local=PASS, iv=PASS)
class ThetaCycle(AbstractRule):
    """Eligibility lives within a theta cycle of five time constants: at its trough the traces are wiped."""

    cycle: float = 5.0

    def init(self, net, key):
        return ThetaState(jnp.zeros_like(net.W), Clock.at_zero(), random_feedback(net, key))

    def update(self, net, step, state, key):
        clock = state.clock.tick()
        trough = clock.steps % max(1, round(self.cycle / net.alpha)) == 0
        B = eligibility(net, step, state.B)
        G = (step.error @ state.W_fb)[:, None] * B
        return G, ThetaState(jnp.where(trough, 0.0, B), clock, state.W_fb)
