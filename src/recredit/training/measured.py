"""What is measured along a run, kept as sums so that memory does not grow with the steps."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Measured(eqx.Module):
    """What is kept of some steps of one seed: sums, so that memory does not grow with the steps."""

    loss: Float[Array, ""]
    cosine: Float[Array, " observers"]
    """Of each observer's gradient with the driver's."""
    norm_ratio: Float[Array, " observers"]
    """The norm of each observer's gradient over the driver's."""
    comparable: Float[Array, " observers"]
    """The number of steps at which neither the observer's gradient nor the driver's was zero: only these are compared."""
    diverged_at: Int[Array, ""]
    """The first step whose loss is not a finite number; -1: none."""
    finite_data: Bool[Array, ""]
    """Whether all inputs and labels are finite."""
    has_loss: Bool[Array, ""]
    """Whether the head has a loss for all labels."""

    @classmethod
    def nothing(cls, observers: int, finite_data: Bool[Array, ""], has_loss: Bool[Array, ""]) -> "Measured":
        zeros = jnp.zeros(observers)
        return cls(jnp.zeros(()), zeros, zeros, zeros, jnp.array(-1), finite_data, has_loss)

    def add(self, t: Any, loss: Float[Array, ""], grads: list[Float[Array, "n m"]]) -> "Measured":
        """One more step; `grads` of the driver first, then of each observer."""
        cosine, norm_ratio, comparable = compare(grads)
        return Measured(
            self.loss + loss,
            self.cosine + cosine,
            self.norm_ratio + norm_ratio,
            self.comparable + comparable,
            jnp.where((self.diverged_at < 0) & ~jnp.isfinite(loss), t, self.diverged_at),
            self.finite_data,
            self.has_loss,
        )


def compare(grads: list[Float[Array, "n m"]]) -> Float[Array, "3 observers"]:
    """Each observer's cosine with the driver, the ratio of their norms, and 1; all 0 where one of the two gradients is zero."""
    driver, norms = grads[0], [jnp.linalg.norm(G) for G in grads]
    rows = [jnp.zeros((0, 3))]
    for G, norm in zip(grads[1:], norms[1:], strict=True):
        both = (norms[0] > 0) & (norm > 0)
        scale = jnp.where(both, norms[0], 1)
        cosine = jnp.sum(driver * G) / (scale * jnp.where(both, norm, 1))
        rows.append(jnp.where(both, jnp.array([[cosine, norm / scale, 1.0]]), 0))
    return jnp.concatenate(rows).T
