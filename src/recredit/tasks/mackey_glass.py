"""Mackey-Glass: predict a chaotic series some steps ahead.

x' = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x, by Runge-Kutta's fourth-order method in steps of 0.1, the delayed x half-way
taken as the mean of its neighbours; one value a network step, in time units, after 1,000 that are dropped. Each stream begins
at a constant x of its own. Input and label are (x - 0.930) / 0.226, which is standardised for tau = 17.

Source: Mackey & Glass 1977, "Oscillation and chaos in physiological control systems"; as a prediction task, Jaeger 2001.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.errors import check_count
from recredit.network import RNN, Head
from recredit.tasks.task import AbstractTask, Sample, stream_key

FINE = 10  # Runge-Kutta's steps in a network step
DROPPED = 1000
MEAN, SD = 0.930, 0.226  # of the series for tau = 17


class Series(eqx.Module):
    """The series as it goes on: what the next values follow from."""

    key: PRNGKeyArray
    past: Float[Array, " fine"]
    """x at Runge-Kutta's steps from t - tau to t, of the last value made."""
    ahead: Float[Array, " horizon"]
    """The last values made, standardised: the inputs of the next steps."""


class MackeyGlass(AbstractTask):
    """Predict a chaotic series some steps ahead."""

    horizon: int = eqx.field(default=6, converter=partial(check_count, "MackeyGlass's horizon", most=10_000))
    """Network steps from an input to the one that is its label; at 1 a linear prediction is nearly perfect."""
    tau: int = eqx.field(default=17, converter=partial(check_count, "MackeyGlass's tau", most=10_000))
    """The delay, in time units of one network step each; chaotic from 17 on."""
    n_in: int = eqx.field(default=1, init=False)
    """The series now."""
    n_out: int = eqx.field(default=1, init=False)
    """The series `horizon` steps later."""
    head: Head = eqx.field(default="linear", init=False, static=True)
    """Squared error."""

    def init(self, net: RNN, key: PRNGKeyArray) -> Series:
        return self._begun(key)

    def _begun(self, key: PRNGKeyArray) -> Series:
        first = jnp.full(FINE * self.tau + 1, jax.random.uniform(key, minval=0.5, maxval=1.5))
        past, _ = self._series(first, DROPPED)
        return Series(key, *self._series(past, self.horizon))

    def _series(self, past: Float[Array, " fine"], count: int) -> tuple[Float[Array, " fine"], Float[Array, " count"]]:
        """The next values, and the past after them."""

        def fine_step(x, delayed):
            first, last = delayed
            k1 = slope(x, first)
            k2 = slope(x + 0.5 / FINE * k1, 0.5 * (first + last))
            k3 = slope(x + 0.5 / FINE * k2, 0.5 * (first + last))
            k4 = slope(x + k3 / FINE, last)
            x = x + (k1 + 2 * k2 + 2 * k3 + k4) / (6 * FINE)
            return x, x

        def value(past, _):
            _, new = jax.lax.scan(fine_step, past[-1], (past[:FINE], past[1 : FINE + 1]))
            return jnp.concatenate([past[FINE:], new]), (new[-1] - MEAN) / SD

        return jax.lax.scan(value, past, length=count)

    def chunk(self, state: Series, start: Int[Array, ""], length: int) -> tuple[Series, Sample]:
        past, new = self._series(state.past, length)
        series = jnp.concatenate([state.ahead, new])
        return Series(state.key, past, series[length:]), Sample(series[:length, None], series[self.horizon :, None])

    def stream(self, state: Series, number: Int[Array, ""], count: int) -> Series:
        return self._begun(stream_key(state.key, number))

    def floors(self) -> dict[str, float]:
        """Half the mean squared error of the mean, of no change, and of the best linear prediction from so many inputs, over
        10,000 steps; twice these, over the variance (1 for tau = 17), is the NMSE."""
        _, sample = self.chunk(self._begun(jax.random.key(0)), jnp.array(0), 10_000)
        x, y = np.asarray(sample.x[:, 0], float), np.asarray(sample.target[:, 0], float)
        errors = {"mean": y - y.mean(), "no change": y - x}
        for order in (2, 5):
            lags = np.lib.stride_tricks.sliding_window_view(x, order)
            known = np.column_stack([lags, np.ones(len(lags))])
            now = y[order - 1 :]
            errors[f"AR({order})"] = now - known @ np.linalg.lstsq(known, now)[0]
        return {what: float(0.5 * (error**2).mean()) for what, error in errors.items()}


def slope(x: Float[Array, ""], delayed: Float[Array, ""]) -> Float[Array, ""]:
    """x', from x now and tau ago."""
    return 0.2 * delayed / (1 + delayed**10) - 0.1 * x
