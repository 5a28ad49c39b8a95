"""Kind 3, delay lines under a condition or a pointer (locality-time)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import credit, gated, influence, shows, twin
from recredit.blocks.buffers import push
from recredit.rule import AbstractRule, Clock

# locality-time fails: rates of earlier steps are kept as they were, in several places. The twins' numbers leak or add up.


class Ring(eqx.Module):
    """Rows of rates, and a mark of where to write."""

    rows: jax.Array
    mark: jax.Array


@shows(3, "locality-time", "fail")
class EveryFifthStep(AbstractRule):
    """A window that takes in the rates at every fifth step, by where."""

    def init(self, net, key):
        return {"window": jnp.zeros((4, net.n)), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        due = state["clock"].steps % 5 == 0
        window = jnp.where(due, push(state["window"], step.r), state["window"])
        return gated(net, step, window.sum(0)), {"window": window, "clock": state["clock"].tick()}


@shows(3, "locality-time", "fail")
class EveryThirdStepByCond(AbstractRule):
    """The same by a cond, with a counter of its own that starts again."""

    def init(self, net, key):
        return jnp.zeros((5, net.n)), jnp.array(0)

    def update(self, net, step, state, key):
        window, t = state
        window = lax.cond(t == 0, lambda w: jnp.concatenate([step.r[None], w[:-1]]), lambda w: w, window)
        return gated(net, step, window[-1] - window[0]), (window, (t + 1) % 3)


@shows(3, "locality-time", "fail")
class RingTurnedByAMark(AbstractRule):
    """A ring whose place is a one-hot vector that turns."""

    def init(self, net, key):
        return Ring(jnp.zeros((6, net.n)), jnp.eye(6)[0])

    def update(self, net, step, state, key):
        rows = jnp.where(state.mark[:, None] > 0, step.r, state.rows)
        return gated(net, step, rows.mean(0)), Ring(rows, jnp.roll(state.mark, 1))


@shows(3, "locality-time", "fail")
class RingByArithmetic(AbstractRule):
    """The same, written by a product with the mark, an outer product beside what is kept."""

    def init(self, net, key):
        return {"mark": jnp.eye(4)[0], "ring": jnp.zeros((4, net.n))}

    def update(self, net, step, state, key):
        mark = jnp.concatenate([state["mark"][-1:], state["mark"][:-1]])
        ring = (1 - mark)[:, None] * state["ring"] + jnp.outer(mark, step.r)
        return gated(net, step, ring.sum(0)), {"mark": mark, "ring": ring}


@shows(3, "locality-time", "fail")
class HandedOnAtEvents(AbstractRule):
    """Four vectors, handed on whenever the error is large."""

    def init(self, net, key):
        return [jnp.zeros(net.n) for _ in range(4)]

    def update(self, net, step, state, key):
        event = jnp.sum(step.error**2) > 0.1
        moved = [jnp.where(event, new, old) for new, old in zip([step.r, *state], state)]
        return gated(net, step, sum(moved)), moved


@shows(3, "locality-time", "fail")
class GatedShift(AbstractRule):
    """Columns rolled on by a gate of 0 or 1, by arithmetic."""

    def init(self, net, key):
        return jnp.zeros((net.n, 3)), Clock.at_zero()

    def update(self, net, step, state, key):
        kept, clock = state
        gate = (clock.steps % 4 == 3).astype(kept.dtype)
        kept = gate * jnp.roll(kept, 1, axis=1).at[:, 0].set(step.r) + (1 - gate) * kept
        return gated(net, step, kept @ jnp.array([0.5, 0.3, 0.2])), (kept, clock.tick())


@shows(3, "locality-time", "fail")
class SlotsInTurn(AbstractRule):
    """Three slots, each overwritten every third step, by a switch."""

    def init(self, net, key):
        return {"a": jnp.zeros(net.n), "b": jnp.zeros(net.n), "c": jnp.zeros(net.n), "t": jnp.array(0)}

    def update(self, net, step, state, key):
        slots = (state["a"], state["b"], state["c"])
        writers = [lambda s, k=k: (*s[:k], step.r, *s[k + 1 :]) for k in range(3)]
        a, b, c = lax.switch(state["t"] % 3, writers, slots)
        return gated(net, step, a * b * c), {"a": a, "b": b, "c": c, "t": state["t"] + 1}


@shows(3, "locality-time", "fail")
class HandedOnInAScan(AbstractRule):
    """A scan over the places, each of which takes what the one before it held, at every second step."""

    def init(self, net, key):
        return jnp.zeros((5, net.n)), Clock.at_zero()

    def update(self, net, step, state, key):
        places, clock = state
        moved = lax.scan(lambda comes, held: (held, comes), step.r, places)[1]
        places = lax.select(jnp.broadcast_to(clock.steps % 2 == 0, places.shape), moved, places)
        return gated(net, step, places.sum(0)), (places, clock.tick())


@twin(3, "locality-time", "pass")
class LeaksEveryFifthStep(AbstractRule):
    """An average that leaks at every fifth step."""

    def init(self, net, key):
        return {"mean": jnp.zeros(net.n), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        due = state["clock"].steps % 5 == 0
        mean = jnp.where(due, 0.7 * state["mean"] + 0.3 * step.r, state["mean"])
        return gated(net, step, mean), {"mean": mean, "clock": state["clock"].tick()}


@twin(3, "locality-time", "pass")
class SumStartedAgain(AbstractRule):
    """A sum that starts again at every tenth step, by a cond."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), Clock.at_zero()

    def update(self, net, step, state, key):
        total, clock = state
        P = influence(net, step)
        total = lax.cond(clock.steps % 10 == 0, lambda: P, lambda: total + P)
        return credit(net, step)[:, None] * total, (total, clock.tick())


@twin(3, "locality-time", "pass")
class AveragesInTurn(AbstractRule):
    """Four averages a unit, of which one at a time leaks."""

    def init(self, net, key):
        return jnp.zeros((4, net.n)), Clock.at_zero()

    def update(self, net, step, state, key):
        bank, clock = state
        turn = (jnp.arange(4) == clock.steps % 4).astype(bank.dtype)
        bank = bank + 0.1 * turn[:, None] * (step.r - bank)
        return gated(net, step, bank.sum(0)), (bank, clock.tick())


@twin(3, "locality-time", "pass")
class CascadeInAScan(AbstractRule):
    """Three leaky stages in a row, by a scan: each mixes what comes with what it holds."""

    def init(self, net, key):
        return jnp.zeros((3, net.n))

    def update(self, net, step, state, key):
        def stage(comes, held):
            held = 0.7 * held + 0.3 * comes
            return held, held

        last, stages = lax.scan(stage, step.r, state)
        return gated(net, step, last), stages
