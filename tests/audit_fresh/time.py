"""Values of earlier steps kept as they were, or handed on from place to place."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, NOT_PASS, PASS, expects, random_feedback
from recredit.rule import AbstractRule, Clock


class RingState(NamedTuple):
    rows: Any
    at: Any


# Activity of five steps ago, kept as it was under a pointer.
@expects(locality_time=FAIL, ii_local=PASS)
class RingPresynaptic(AbstractRule):
    """Credit meets the presynaptic activity of five steps ago, read from a ring by a pointer."""

    length: int = 5

    def init(self, net, key):
        return RingState(jnp.zeros((self.length, net.W.shape[1]), net.W.dtype), jnp.array(0))

    def update(self, net, step, state, key):
        old = lax.dynamic_index_in_dim(state.rows, state.at, 0, keepdims=False)
        rows = lax.dynamic_update_slice(state.rows, step.r_hat[None], (state.at, 0))
        post = (step.error @ net.W_out) * net.gain(step.v)
        return post[:, None] * old[None, :], RingState(rows, (state.at + 1) % self.length)


# Activity of an earlier step, kept as it was until the next event.
@expects(locality_time=FAIL, ii_local=PASS)
class EventTag(AbstractRule):
    """Synaptic tagging: a surprising moment tags the presynaptic pattern, which stays until the next surprise."""

    threshold: float = 0.4

    def init(self, net, key):
        return {"tag": jnp.zeros(net.W.shape[1], net.W.dtype)}

    def update(self, net, step, state, key):
        surprising = jnp.max(jnp.abs(step.error)) > self.threshold
        tag = lax.select(surprising, step.r_hat, state["tag"])
        c_bar = step.error @ net.W_out
        return jnp.outer(c_bar * net.gain(step.v), tag), {"tag": tag}


# Potentials of six steps ago, which are no rates.
@expects(locality_time=FAIL, iii=FAIL, memory=PASS)
class MatlabRing(AbstractRule):
    """Predicts the rates from the potentials six steps ago, from a circular buffer; W learns what is not predicted."""

    lag: int = 6

    def init(self, net, key):
        K = 0.1 * jax.random.normal(key, (net.n, net.n), net.W.dtype)
        return {"buf": jnp.zeros((self.lag, net.n), net.W.dtype), "ptr": jnp.zeros((), jnp.int32), "K": K}

    def update(self, net, step, state, key):
        buf, ptr, K = state["buf"], state["ptr"], state["K"]
        old = buf[ptr]
        buf = buf.at[ptr].set(step.v)
        miss = step.r - jnp.dot(K, old)
        K = K.at[:, :].add(0.02 * net.alpha * miss[:, None] * old[None, :])
        L = jnp.mean(step.error**2)
        G = jnp.zeros_like(net.W)
        G = G.at[:, :].set(L * miss[:, None] * step.r_hat[None, :])
        return G, {"buf": buf, "ptr": jnp.mod(ptr + 1, self.lag), "K": K}


# The credit is kept as it was for three steps; the norm of W is a number made of many strengths.
@expects(locality_time=FAIL, ii_local=NOT_PASS, i=PASS)
class SwitchSampleHold(AbstractRule):
    """Four phases: in the first the credit is sampled, in the others the sample teaches with the trace of the day."""

    def init(self, net, key):
        return {
            "phase": jnp.zeros((), jnp.int32),
            "sample": jnp.zeros(net.n, net.W.dtype),
            "B": jnp.zeros_like(net.W),
            "fb": jax.random.normal(key, (net.n_out, net.n), net.W.dtype),
        }

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state["B"] + jnp.outer(net.gain(step.v), step.r_hat)

        def look():
            return jnp.zeros_like(B), step.error @ state["fb"]

        def teach():
            return state["sample"][:, None] * B / (1 + jnp.linalg.norm(net.W)), state["sample"]

        G, sample = lax.switch(state["phase"], [look, teach, teach, teach])
        return G, {"phase": (state["phase"] + 1) % 4, "sample": sample, "B": B, "fb": state["fb"]}


# Bits are handed on from place to place; `together` is made of activity and transmits the rates.
@expects(locality_time=NOT_PASS, ii_stored=FAIL, i=PASS)
class SpikeRegister(AbstractRule):
    """Keeps which of the last eight steps each unit was active in, in the bits of an integer; units active together vote."""

    age: int = 5

    def init(self, net, key):
        return {"bits": jnp.zeros(net.n, jnp.int32), "fb": jax.random.normal(key, (net.n_out, net.n), net.W.dtype)}

    def update(self, net, step, state, key):
        active = (step.r_prev > 0).astype(jnp.int32)
        bits = jnp.bitwise_and(jnp.bitwise_or(jnp.left_shift(state["bits"], 1), active), 0xFF)
        then = jnp.bitwise_and(jnp.right_shift(bits, self.age), 1).astype(net.W.dtype)
        pre = jnp.concatenate([then, step.r_hat[net.n :]])
        together = lax.population_count(jnp.bitwise_and(bits[:, None], bits[None, :])).astype(net.W.dtype) / 8
        vote = (together @ step.r) / net.n
        credit = step.error @ state["fb"] + vote
        return jnp.outer(credit * net.gain(step.v), pre), {"bits": bits, "fb": state["fb"]}


class LateRewardState(NamedTuple):
    line: jax.Array  # (5, n, m)
    W_fb: jax.Array


@expects(locality_time=FAIL, iv=PASS, vii=PASS)
class LateReward(AbstractRule):
    """The teacher is five steps late: coincidences wait in line until the signal that belongs to them arrives."""

    late: int = 5

    def init(self, net, key):
        return LateRewardState(jnp.zeros((self.late, *net.W.shape), net.W.dtype), random_feedback(net, key))

    def update(self, net, step, state, key):
        coincidence = jnp.outer(net.gain(step.v), step.r_hat)
        due = state.line[-1]
        line = jnp.roll(state.line, 1, axis=0).at[0].set(coincidence)
        credit = step.error @ state.W_fb
        return credit[:, None] * due, LateRewardState(line, state.W_fb)


class BestOfEightState(NamedTuple):
    e: jax.Array
    v_bar: jax.Array  # (n,)
    losses: jax.Array  # (8,)


# The last eight losses are kept as they were.
@expects(locality_time=FAIL, ii_local=PASS, iv=PASS)
class BestOfEight(AbstractRule):
    """Miconi's supralinear Hebbian trace; the reward is compared with the best of the last eight steps."""

    window: int = 8

    def init(self, net, key):
        zeros = jnp.zeros_like(net.W)
        return BestOfEightState(zeros, zeros[:, 0], jnp.zeros((self.window,), net.W.dtype))

    def update(self, net, step, state, key):
        loss = 0.5 * jnp.sum(step.error**2)
        baseline = jnp.min(state.losses)
        excursion = step.v - state.v_bar
        v_bar = state.v_bar + 0.2 * net.alpha * excursion
        e = (1 - net.alpha) * state.e + jnp.outer(excursion, step.r_hat) ** 3
        losses = jnp.concatenate([loss[None], state.losses[:-1]])
        return (loss - baseline) * e, BestOfEightState(e, v_bar, losses)


class AutocorrelationState(NamedTuple):
    B: jax.Array
    past: jax.Array  # (4, n)
    auto: jax.Array  # (n,)
    W_fb: jax.Array


# Rates are kept as they were for four steps.
@expects(locality_time=FAIL, iv=PASS, vii=PASS)
class AutocorrelationTimescale(AbstractRule):
    """Intrinsic time scales: each unit's trace decays as its own activity does, measured four steps apart."""

    lag: int = 4

    def init(self, net, key):
        zero = jnp.zeros_like(net.W[:, 0])
        past = jnp.zeros((self.lag, net.n), net.W.dtype)
        return AutocorrelationState(jnp.zeros_like(net.W), past, zero, random_feedback(net, key))

    def update(self, net, step, state, key):
        product = jnp.tanh(step.r * state.past[-1])
        auto = 0.98 * state.auto + 0.02 * product
        past = jnp.concatenate([step.r[None], state.past[:-1]])
        keep = (1 - net.alpha) + 0.5 * net.alpha * jnp.clip(auto, 0.0, 1.0)
        B = keep[:, None] * state.B + jnp.outer(net.gain(step.v), step.r_hat)
        credit = step.error @ state.W_fb
        return credit[:, None] * B, AutocorrelationState(B, past, auto, state.W_fb)


class ReplayState(NamedTuple):
    r_hat: jax.Array  # (16, m)
    drive: jax.Array  # (16, n)
    clock: Clock
    W_fb: jax.Array


@expects(locality_time=FAIL, iv=PASS, vii=PASS)
class SharpWaveReplay(AbstractRule):
    """Experience replay: sixteen past situations are stored in turn, and one drawn at random is learned again."""

    capacity: int = 16

    def init(self, net, key):
        n, m = net.W.shape
        r_hat, drive = (jnp.zeros((self.capacity, k), net.W.dtype) for k in (m, n))
        return ReplayState(r_hat, drive, Clock.at_zero(), random_feedback(net, key))

    def update(self, net, step, state, key):
        drive = (step.error @ state.W_fb) * net.gain(step.v)
        pointer = state.clock.steps % self.capacity
        stored_r_hat = state.r_hat.at[pointer].set(step.r_hat)
        stored_drive = state.drive.at[pointer].set(drive)
        chosen = jax.random.randint(key, (), 0, self.capacity)
        G = jnp.outer(drive, step.r_hat) + 0.5 * jnp.outer(stored_drive[chosen], stored_r_hat[chosen])
        return G, ReplayState(stored_r_hat, stored_drive, state.clock.tick(), state.W_fb)
