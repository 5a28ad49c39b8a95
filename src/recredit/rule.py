"""The contract of a learning rule. Read this first.

A rule is a pure function of named arrays: every array lives in `net`, `step` or `state`. So a rule can be vectorised over
seeds, saved (the state is all that it remembers), and audited (each array in its trace has a name and an origin).
"""

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.errors import check_fields
from recredit.network import RNN
from recredit.network.rnn import At

State = Any  # a pytree of arrays, the rule's own


class Step(eqx.Module):
    """Everything that the network did at time t, with the weights before their update."""

    r_prev: Float[Array, " n"]
    """Firing rates r^{t-1}."""
    r_hat: Float[Array, " m"]
    """[r^{t-1}; x^t; 1], what the weights W read."""
    v: Float[Array, " P"]
    """Voltages W r_hat, plus the network's noise."""
    r: Float[Array, " n"]
    """Firing rates r^t; for leaky units, (1 - alpha) r^{t-1} + alpha phi(v^t)."""
    error: Float[Array, " n_out"]
    """dL/dz, the error of the read-out, times the step's weight."""
    target: Float[Array, " n_out"]
    """The label y*."""
    s_prev: Float[Array, " N"] | None = None
    """The units' state s^{t-1}, if it is not just their rates; None: it is the rates. `state_prev` gives either."""
    s: Float[Array, " N"] | None = None
    """The units' state s^t, likewise; `state` gives either."""
    loss: Float[Array, ""] | None = None
    """The loss L of the step, times its weight."""
    xi: Float[Array, " P"] | None = None
    """The noise in the voltages v; None: the network has none."""
    weight: Float[Array, ""] | None = None
    """The weight of the step, included in loss and error: 0 if the step is not scored, 1 if the task has no weights."""

    @classmethod
    def of(
        cls,
        net: RNN,
        s_prev: Float[Array, " N"],
        x: Float[Array, " n_in"],
        target: Float[Array, " n_out"],
        xi: Float[Array, " P"] | None = None,
    ) -> "Step":
        """One step of a network from the state `s_prev`; `xi`: the noise of its voltages (`RNN.noise_of`)."""
        r_hat, v, s = net.step(s_prev, x, xi)
        loss, error = net.loss_and_error(net.readout(s), target)
        one = jnp.ones_like(loss)
        if net.units.rates_are_state:
            return cls(s_prev, r_hat, v, s, error, target, loss=loss, xi=xi, weight=one)
        return cls(r_hat[: net.n], r_hat, v, net.rates(s), error, target, s_prev, s, loss, xi, one)

    def weighted(self, weight: Float[Array, ""]) -> "Step":
        """The same step, with error, loss and weight multiplied by this weight."""
        loss, own = (None if each is None else weight * each for each in (self.loss, self.weight))
        return replace(self, error=weight * self.error, loss=loss, weight=own)

    @property
    def state_prev(self) -> Float[Array, " N"]:
        """The units' state before the step, s^{t-1}."""
        return self.r_prev if self.s_prev is None else self.s_prev

    @property
    def state(self) -> Float[Array, " N"]:
        """The units' state after the step, s^t."""
        return self.r if self.s is None else self.s

    def at(self, net: RNN) -> At | Float[Array, " P"]:
        """What the derivatives of this step depend on: its voltages and, unless the units are leaky, the state before it."""
        return At(self.state_prev, self.v) if net.units.depends_on_state else self.v


class AbstractRule(eqx.Module):
    """A learning rule for W. Its fields are numbers and building blocks, never arrays.

    The read-out weights W_out and b_out follow the delta rule in the training loop, the same for every rule.
    """

    def __check_init__(self):
        check_fields(self)

    @property
    def delay(self) -> int:
        """How many steps late the gradient is: what is returned at step t belongs to step t - delay."""
        return 0

    @property
    def period(self) -> int:
        """A gradient is returned at every period-th step, (t + 1) % period == 0: the sum over the steps since the last one.

        At the other steps it is 0, and W's part of the optimiser does nothing.
        """
        return 1

    @property
    def needs_noise(self) -> bool:
        """Whether it learns from the network's noise (`Step.xi`), so that a network without noise is refused."""
        return False

    @abstractmethod
    def init(self, net: RNN, key: PRNGKeyArray) -> State:
        """The learning state before the first step."""

    @abstractmethod
    def update(self, net: RNN, step: Step, state: State, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], State]:
        """The rule's estimate of dL/dW at this step, and the next learning state (the same pytree of the same shapes)."""

    def restart(self, net: RNN, state: State) -> tuple[Float[Array, "P m"], State]:
        """The gradient that the rule still owes the trial that has ended, and the learning state before the next trial.

        There, traces, influences and windows are zero; synapses (a learned Jacobian, say) are kept, and a Clock runs on. A rule
        without this method learns only from unbroken streams.
        """
        raise NotImplementedError

    def check_network(self, net: RNN) -> None:
        """Raise ValueError, one sentence, for a network that the rule does not support; by default it supports any."""


def check_simple(rule: AbstractRule, net: RNN) -> None:
    """Raise ValueError for units with more than one state variable or voltage, for a rule with one number per unit."""
    units = net.units
    if not units.is_simple:
        raise ValueError(
            f"{type(rule).__name__} is for units of one state variable and one voltage, and {type(units).__name__} units have "
            f"{len(units.variables)} and {len(units.voltages)}."
        )


class Clock(eqx.Module):
    """How many steps a rule has taken.

    It is the same in all seeds and all their streams, so training does not vectorise it, and a branch on it is taken for all of
    them or for none.
    """

    steps: Int[Array, ""]
    """0 before the first step."""

    @classmethod
    def at_zero(cls) -> "Clock":
        return cls(jnp.array(0))

    def tick(self) -> "Clock":
        return Clock(self.steps + 1)
